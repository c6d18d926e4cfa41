"""The server pipeline: one interceptor, and per method the named stages that its contract asks for.

Read `compiler.py` first: it holds the order and its reasons.
"""

from mesh.pipeline.compiler import STAGES, Capacity, PipelineCompiler, stages_of
from mesh.pipeline.interceptor import PipelineInterceptor

__all__ = ["STAGES", "Capacity", "PipelineCompiler", "PipelineInterceptor", "stages_of"]
