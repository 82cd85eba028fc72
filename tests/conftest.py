"""Shared fixtures: small ratings that can be checked by hand, and the real data where they are at hand."""

import numpy as np
import pytest
import torch

from flexlib.config import FlexError
from flexlib.data import Ratings, load_ratings
from flexlib.sources import data_folders


def make_ratings(triples, n_users=None, n_items=None, scale=(0.5, 5.0, 0.5), name="hand-made"):
    """`Ratings` from (user, item, stars) with dense ids; original ids are 100 + user and 200 + item."""
    users, items, values = (np.array(column) for column in zip(*triples, strict=True))
    n_users, n_items = n_users or users.max() + 1, n_items or items.max() + 1
    return Ratings(
        name=name,
        users=users.astype(np.int32),
        items=items.astype(np.int32),
        values=values.astype(np.float32),
        timestamps=None,
        user_ids=100 + np.arange(n_users),
        item_ids=200 + np.arange(n_items),
        scale=scale,
        titles=np.array([f"Film {i}" for i in range(n_items)], dtype=object),
    )


def random_ratings(seed, n_users=7, n_items=9, share=0.5):
    """Half-star ratings of about a share of all pairs, with a user and an item that have a single one."""
    rng = np.random.default_rng(seed)
    triples = [(u, i, rng.integers(1, 11) / 2) for u in range(n_users) for i in range(n_items) if rng.random() < share]
    triples += [(n_users, 0, 4.0), (0, n_items, 2.5)]
    return make_ratings(triples)


@pytest.fixture
def real_data():
    """A loader of named sets that skips the test, saying why, where the set is not on this machine."""

    def load(name):
        if not any((folder / name).exists() or (folder / f"{name}.zip").exists() for folder in data_folders()):
            pytest.skip(f"needs {name}, which is neither in FLEXLIB_DATA nor in the cache")
        return load_ratings(name)

    return load


@pytest.fixture
def authors_records():
    """The path of the authors' table, which lies beside the data sets and is not part of this project."""
    for folder in data_folders():
        path = folder.parent / "reference" / "authors-records.csv"
        if path.exists():
            return path
    pytest.skip("needs the authors' table: reference/authors-records.csv beside the folder FLEXLIB_DATA")


@pytest.fixture
def double_precision():
    """Run a test in float64, so that a comparison can be tight."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def refused():
    """Assert that a call raises a `FlexError` of one line that holds every given piece."""

    def check(call, *pieces):
        with pytest.raises(FlexError) as caught:
            call()
        message = str(caught.value)
        assert "\n" not in message
        for piece in pieces:
            assert piece in message, message
        return message

    return check
