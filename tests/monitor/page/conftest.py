"""One browser for all tests of the page, a fresh tab for each."""

import re
from collections.abc import Iterator

import pytest

from tests.monitor.page.chromium import Chromium, Tab, chromium
from tests.monitor.page.stand import Stand, stand


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with chromium(tmp_path_factory.mktemp("chromium")) as made:
        yield made


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """One proxy for all tests that do not need another one."""
    with stand(tmp_path_factory.mktemp("stand"), step_seconds=0.01) as made:
        yield made


@pytest.fixture
def tab(browser: Chromium) -> Iterator[Tab]:
    """A tab that nothing is known of. It may complain of refusals alone."""
    made = Tab(browser)
    yield made
    refusals = "the server responded with a status of 40[14]|net::ERR_"
    complaints = [one for one in made.complaints() if not re.search(refusals, one)]
    made.close()
    assert complaints == []
