"""The policy that `assay gate policy init` writes: every key with its default, and what it means."""

TEMPLATE = """\
schema: assay.policy.v1
name: release

alpha: 0.05              # one-sided: the chance of a false verdict, over all gated tasks together
correction: holm         # holm | none
rule: interval           # interval: decide by confidence bounds | point: by the difference alone
power: 0.8               # for "so many samples would decide it"
must_decide: false       # refuse where the planned samples cannot decide the margin ...
discordance: 0.1         # ... if this share of the samples changes

defaults:
  tier: supporting       # critical: must be there | supporting: gated where it is there | advisory: only shown
  margin: 0.02           # the largest loss allowed, in the metric's units: 0.02 of a rate is 2 points
  # relative_margin: 0.02        # or as a share of the baseline's score
  max_gain: 0.05         # a larger gain, as a share of the scale, is an anomaly
  # max_tokens_increase: 0.2     # answers may get so much longer
  # max_latency_increase: 0.5    # waits may get so much longer

# tasks:
#   gsm8k:
#     tier: critical
#     metric: accuracy           # by default the task's primary metric
#     margin: 0.01
#     external: {score: 0.85, tolerance: 0.05, source: the model's card}
#   style:
#     scale: [1, 5]              # of a metric whose scorer declares no scale
#     margin: 0.1
#   tips:
#     metric: tip-v1.composite   # what judges gave, by a rubric; models among them need an admission
#     margin: 0.5

required: []             # tasks that both runs must have
allow: []                # what the runs may differ in besides the model: prompt, sampling, seed, ...

outcomes:                # the largest share of attempts that may end so
  infra_error: 0
  timeout: 0
  skipped: 0
  scorer_error: 0
  empty: 0.05
  truncated: 0.05
  refused: 0.05
  extraction: 0.1        # answered, but no answer was found in it
  moved: 0.02            # how far such a rate may move between the runs

# sequential:            # of runs that stop when they are decided: assay eval --until-decided
#   block: 50            # samples of the largest task between two looks; by default a fortieth, at least 20
#   stop_on: margin      # what ends a run as a regression: a loss beyond the margin | any loss beyond chance

# judges:                # what a model must hold to before its scores may decide: assay judge agreement --policy
#   units: 30            # answers that it and people have both judged, at least
#   defaults: {alpha: 0.667, bias: 0.5}    # the least lower end of the interval; how far the bias may lie from 0
#   marked: tell         # batches whose checks failed: tell | refuse

execution:               # of runs that executed code
  tier: full             # the least sandbox: full | reduced | macos | none
  forgeable: 0           # the largest share whose outcome the solution could have decided itself
  controls: 1            # the least share of reference solutions that must pass
"""
