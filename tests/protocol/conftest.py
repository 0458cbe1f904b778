"""A server that the tests share, with a client of it."""

import pytest

REASON = "needs the packages of requirements-starcraft.lock"


@pytest.fixture(scope="session")
def client():
    """Starts with whatever game the test before left."""
    pytest.importorskip("s2clientprotocol", reason=REASON)
    pytest.importorskip("websockets", reason=REASON)
    from tests.protocol.server import Client, start

    process, port = start()
    client = Client(port)
    client.process = process
    yield client
    client.close()
    assert process.wait(timeout=30) == 0
    process.stdout.close()
