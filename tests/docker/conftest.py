"""What the tests of images share: they are built once."""
import pytest

import images
from composefile import Compose


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """Name of image: its configuration."""
    reason = images.missing()
    if reason:
        pytest.skip(reason)
    store = images.Store(tmp_path_factory.mktemp("build"))
    services = Compose().services
    return {name: store.build(name, services[name]["build"]["args"]) for name in ("postgres", "agent", "storefront")}
