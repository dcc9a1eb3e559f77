"""The node, as tests/e2e has it: a namespace and an operator for each example."""

from tests.e2e.conftest import api, free_port, make_stage

__all__ = ["api", "free_port", "make_stage"]
