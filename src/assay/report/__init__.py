"""What a person sees of a run: a table on the terminal and one self-contained HTML file.

Both are derived from `results.json`, `plan.json` and the journal; neither holds a number of its own.

    assay.report.table.table(results)                             a rich renderable
    assay.report.html.write(path, results, plan, entries, render)  the page
"""
