import pytest


@pytest.fixture
def global_random_seed():
    """Stand in for the fixture that scikit-learn's own tests expect."""
    return 0
