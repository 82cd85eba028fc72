"""On a GPU, training and scoring are those of the CPU; skipped where there is none."""

import pytest
import torch
from conftest import random_ratings

from flexlib.config import OPTIMIZERS, PROTOCOLS, FlexConfig
from flexlib.evaluation import evaluate
from flexlib.storage.checkpoints import Checkpoint
from flexlib.train import fit

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU of NVIDIA's")
# Without dropout and noise, which each kind of device draws in its own way
CONFIG = FlexConfig(hidden_layers=(5, 3), train_batch_size=4, epochs=3, activation="tanh", patience=3)
EXTRAS = dict(implicit_input=True, input_normalization=True, loss_decay=True, weight_decay=0.1, centring="biases")


def assert_alike(config, protocol="holdout"):
    ratings = random_ratings(3)
    models = [fit(ratings, config, protocol, device=device) for device in ("cpu", "cuda")]
    for one, other in zip(*(model.network.cpu().parameters() for model in models), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)
    for model, device in zip(models, ("cpu", "cuda"), strict=True):
        model.network.to(device)
    one, other = (evaluate(model).scores() for model in models)
    assert other == pytest.approx(one, rel=1e-6)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("refeeding", [0, 1])
def test_protocols(double_precision, protocol, refeeding):
    assert_alike(CONFIG.replace(dense_refeeding=refeeding, decoder_constraint=bool(refeeding)), protocol)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_optimizers(double_precision, optimizer):
    assert_alike(CONFIG.replace(optimizer=optimizer, dense_refeeding=0, **EXTRAS))


def test_training_that_was_stopped_ends_as_if_it_had_not_been(tmp_path):
    config = CONFIG.replace(noise_probability=0.3, drop_probability=0.3, epochs=4)
    checkpoint = Checkpoint(tmp_path / "state.safetensors")
    fit(random_ratings(3), config.replace(epochs=2), device="cuda", checkpoint=checkpoint)
    resumed = fit(random_ratings(3), config, device="cuda", checkpoint=checkpoint)
    straight = fit(random_ratings(3), config, device="cuda")
    assert resumed.history == pytest.approx(straight.history, rel=1e-5)
