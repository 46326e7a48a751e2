"""What vecsearch_positions registers."""

from __future__ import annotations

import numpy as np
import pytest

from vecsearch import AligningEncoder, UsageError
from vecsearch.plugins import Registry
from vecsearch.testing import check_encoder, check_plugin_module


def test_five_encoders_are_registered_by_name():
    assert {"none", "sinusoidal", "learned", "relative", "rotary"} <= set(Registry().names("encoder"))


def test_the_entry_point_module_is_light():
    check_plugin_module("vecsearch_positions.plugin")


@pytest.mark.parametrize("name", ["none", "sinusoidal", "relative", "rotary"])
def test_an_encoder_keeps_the_contract(name):
    check_encoder(Registry().get("encoder", name))


def test_learned_keeps_the_contract(tmp_path):
    path = tmp_path / "table.npy"
    np.save(path, np.random.default_rng(0).standard_normal((20, 64)))
    check_encoder(Registry().get("encoder", "learned"), dims=(64,), path=str(path))


def test_only_rotary_aligns():
    registry = Registry()
    aligning = {
        name
        for name in ("none", "sinusoidal", "relative", "rotary")
        if isinstance(registry.create("encoder", name), AligningEncoder)
    }
    assert aligning == {"rotary"}


@pytest.mark.parametrize("name", ["none", "sinusoidal", "relative", "rotary"])
def test_an_encoder_made_from_its_own_configuration_gives_the_same_vectors(name):
    registry = Registry()
    encoder = registry.create("encoder", name)
    again = registry.create("encoder", name, encoder.config)
    units = np.eye(6, dtype=np.float32)
    weights, offsets = np.arange(1, 7, dtype=np.float32), np.array([0, 4, 6])
    np.testing.assert_array_equal(encoder.encode(units, weights, offsets), again.encode(units, weights, offsets))
    assert encoder.version == "1"


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("none", {"alpha": 1}),
        ("sinusoidal", {"alpha": -1}),
        ("learned", {}),
        ("learned", {"path": "no-such-table.npy"}),
        ("relative", {"order": 2}),
        ("rotary", {"depth": 0}),
    ],
)
def test_a_configuration_that_is_refused_is_a_usage_error_that_names_the_encoder(name, config):
    with pytest.raises(UsageError, match=f"encoder '{name}' refuses its configuration"):
        Registry().create("encoder", name, config)
