from __future__ import annotations

import pytest

from graphretrieval import registry
from tests.aligners.contract import AlignerContract


class TestEveryAligner(AlignerContract):
    @pytest.fixture(params=registry.names("aligner"))
    def cls(self, request):
        return registry.resolve("aligner", request.param)
