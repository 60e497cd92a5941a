from tests.workers.stand import stand

__all__ = ["stand"]
