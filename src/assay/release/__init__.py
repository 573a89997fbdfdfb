"""Releasing a quantized checkpoint: quantize, deploy, evaluate, compare and decide, with a gate after every stage."""
