"""A workload from a model and data: its weights, blocks, losses, scores and smaller examples."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel

from models.adapters import (
    Examples,
    Score,
    accuracy,
    bring,
    find_blocks,
    own_loss,
    shorter,
    smaller,
    supervised,
)
from models.adapters.finding import blocks_named
from models.workload import Workload

X, Y = torch.randn(60, 4, generator=torch.Generator().manual_seed(0)), torch.arange(60) % 3
DATA = Examples((X, Y), held_out=0.25, batch_size=10)


class Layer(nn.Module):
    def __init__(self, experts: int = 0) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.experts = nn.ModuleList(nn.Sequential(nn.Linear(4, 1)) for _ in range(experts))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.linear(x)  # type: ignore[no-any-return]


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 4), Layer(), Layer(), Layer(), nn.Linear(4, 3))


def workload(**given: Any) -> Workload:
    loss = supervised(nn.functional.cross_entropy)
    return bring("net", **{"model": net, "data": DATA, "steps": 20, "optimizer": 1e-2,
                           "loss": loss, **given})  # fmt: skip


def test_further_metrics_are_measured_on_the_same_examples() -> None:
    """By name, without a say in what is searched; two of one name are refused."""
    loss = Score("loss", supervised(nn.functional.cross_entropy))
    made = workload(metrics=[accuracy, loss])
    model = made.make_model(0)
    assert made.metric_names == ("accuracy", "loss")
    assert made.metrics["loss"](model) == made.evaluate(model)
    assert made.metrics["accuracy"](model) == workload(score=accuracy).evaluate(model)
    with pytest.raises(ValueError, match=r"names that differ, but got \['accuracy', 'accuracy'\]"):
        workload(metrics=[accuracy, accuracy])


def weights(model: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


@pytest.mark.parametrize("make", [net, lambda seed: net(), lambda kind=Layer: net()])
def test_weights_come_from_the_seed(make: Callable[..., nn.Module]) -> None:
    """Though the user's function draws them from the process's generators, which stay as they
    were.
    """
    made = workload(model=make).make_model
    before = torch.get_rng_state()
    one, other = weights(made(3)), weights(made(4))
    assert torch.equal(before, torch.get_rng_state())
    torch.rand(5)
    assert torch.equal(one, weights(made(3)))
    assert not torch.equal(one, other)


def test_a_model_is_copied_for_every_run() -> None:
    """Each begins with its weights, whatever was done to another."""
    given = net()
    made = workload(model=given).make_model
    nn.init.zeros_(made(0)[0].weight)  # type: ignore[index]
    assert torch.equal(weights(made(1)), weights(given))


def resnet() -> nn.Module:
    stages = [nn.Sequential(Layer(), Layer()) for _ in range(3)]
    return nn.Sequential(nn.Linear(4, 4), *stages, nn.Linear(4, 3))


MODELS: dict[str, tuple[Callable[[], nn.Module], int, type]] = {
    "a list": (net, 3, Layer),
    "stages": (resnet, 6, Layer),
    "experts": (lambda: nn.ModuleList([Layer(5), Layer(5)]), 2, Layer),
    "an encoder": (
        lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 3),
        3,
        nn.TransformerEncoderLayer,
    ),
    "sequences": (
        lambda: nn.Sequential(
            nn.Linear(2, 4), *(nn.Sequential(nn.Linear(4, 4), nn.ReLU()) for _ in range(3))
        ),
        3,
        nn.Sequential,
    ),
    "layers of a shape": (
        lambda: nn.Sequential(*(nn.Linear(a, b) for a, b in ((2, 4), (4, 4), (4, 4), (4, 1)))),
        2,
        nn.Linear,
    ),
    "single layers": (
        lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 4, 3)),
        2,
        nn.Conv2d,
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_blocks_are_the_modules_of_one_kind(name: str) -> None:
    """In lists or in stages; not those within another."""
    make, count, kind = MODELS[name]
    found = find_blocks(make())
    assert (len(found), {type(block) for block in found}) == (count, {kind})


def test_blocks_that_are_not_found_are_asked_for() -> None:
    """With the model's parts; and a path that is none likewise."""
    one = nn.Sequential(Layer(), nn.Linear(4, 4))
    with pytest.raises(ValueError, match=r"no two: its largest parts are 0 \(Layer\), 1"):
        find_blocks(one)
    assert len(list(workload(blocks="1").blocks(resnet()))) == 2
    with pytest.raises(
        ValueError, match="but got 'h', which it does not have; its largest parts are 0"
    ):
        workload(blocks="h").blocks(one)


class Answers(nn.Module):
    def __init__(self, answer: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, x: Tensor, labels: Tensor) -> Any:
        return self.answer((x.sum(-1) - labels) ** 2)


@pytest.mark.parametrize(
    "answer",
    [lambda e: e.mean(), lambda e: {"loss": e.mean()}, lambda e: e, lambda e: Score("", e)],
)
def test_a_models_own_loss(answer: Callable[[Tensor], Any]) -> None:
    """As a tensor, in a mapping, one a row, or as an attribute."""
    batch = {"x": X, "labels": Y, "text": ["a"]}
    right = ((X.sum(-1) - Y) ** 2).mean()

    def with_attribute(errors: Tensor) -> Any:
        found = answer(errors)
        if isinstance(found, Score):
            return type("Output", (), {"loss": errors.mean()})()
        return found

    assert torch.equal(own_loss(Answers(with_attribute), batch), right)
    assert torch.equal(own_loss(Answers(with_attribute), (X, Y)), right)


def test_a_model_without_a_loss_is_told_what_to_do() -> None:
    """What its forward returned stands in the message."""
    output = type("CausalLMOutput", (), {"loss": None})
    with pytest.raises(ValueError, match="but returned a CausalLMOutput: put labels into"):
        own_loss(Answers(lambda errors: output()), (X, Y))


def test_scores_are_means_over_all_that_is_held_out() -> None:
    """15 examples in batches of 10 and 5: of accuracy one value each, of the loss one a batch."""
    given, model = workload(score=accuracy), net()
    held = torch.cat([b[0] for b in DATA.held_out]), torch.cat([b[1] for b in DATA.held_out])
    logits = model(held[0])
    assert len(held[0]) == 15
    right = (logits.argmax(-1) == held[1]).float().mean().item()
    assert (given.metric, given.maximize) == ("accuracy", True)
    assert given.evaluate(model) == pytest.approx(right)
    loss = nn.functional.cross_entropy(logits, held[1]).item()
    assert workload().evaluate(model) == pytest.approx(loss)


def test_accuracy_of_next_tokens() -> None:
    """By hand: a causal model's labels are moved by one, and those that are no answer left out."""
    config = GPT2Config(
        vocab_size=9, n_positions=6, n_embd=8, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0
    )
    model = GPT2LMHeadModel(config)
    model.train(mode=False)
    tokens = torch.randint(9, (3, 6), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        told = model(tokens).logits.argmax(-1)
    labels = torch.cat([tokens[:, :1], told[:, :-1]], 1)  # all of it told right
    labels[0, 3] = (labels[0, 3] + 1) % 9
    labels[1, 2:] = -100
    found = accuracy.of(model, {"input_ids": tokens, "labels": labels})
    assert found.tolist().count(0.0) == 1
    assert len(found) == 3 * 5 - 4


@pytest.mark.parametrize(
    ("logits", "answers", "way"),
    [
        (torch.zeros(4), torch.ones(4), "one logit an answer"),
        (torch.zeros(4, 1), torch.ones(4, 1), "one logit an answer"),
        (torch.zeros(4, 4), torch.eye(4), "one logit an answer"),
        (torch.zeros(4, 1), torch.ones(4, dtype=torch.int64), "an own function"),
        (torch.zeros(4, 3, 5), torch.ones(4, 5, dtype=torch.int64), "an own function"),
    ],
)
def test_accuracy_of_what_are_no_classes_is_refused(
    logits: Tensor, answers: Tensor, way: str
) -> None:
    """One logit for yes or no had the best of its rows compared with each answer, and one-hot
    answers were compared with numbers: a constant, or a fault of shapes.
    """
    told = f"logits {tuple(logits.shape)} and answers {tuple(answers.shape)}"
    with pytest.raises(ValueError, match=f"(?s){re.escape(told)}.*{way}"):
        accuracy.of(nn.Identity(), (logits, answers))


def test_examples_of_unlike_length_need_a_collate() -> None:
    """Torch's own words, and what to give."""
    texts = [torch.ones(1 + i % 3) for i in range(40)]
    with pytest.raises(ValueError, match=r"equal size.*; give collate=, which pads"):
        Examples(texts, batch_size=4).batch_at(0, 0)


def test_a_criterion_is_made_before_it_is_given() -> None:
    """Its class would take outputs and targets for settings."""
    kind: Any = nn.MSELoss
    with pytest.raises(ValueError, match=r"got the class MSELoss: make one, supervised\(MSELoss"):
        supervised(kind)


@pytest.mark.parametrize("found", [lambda told: told, lambda told: told.float().mean()])
def test_a_score_may_be_a_truth_value_an_example(found: Callable[[Tensor], Tensor]) -> None:
    """Its mean is the share."""
    told = Score("right", lambda model, batch: found(model(batch[0]).argmax(1) == batch[1]))
    made = workload(score=told)
    assert made.evaluate(made.make_model(0)) == workload(score=accuracy).evaluate(
        made.make_model(0)
    )


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (torch.ones(15, 3), r"one value an example, but got a tensor of shape \(15, 3\)"),
        ({"right": 0.5}, r"got a dict with 'right': return its \['right'\] \(of at test_bring.py"),
        (None, "got None: is a return missing"),
    ],
)
def test_what_is_no_score_is_named(found: Any, said: str) -> None:
    """Logits, say: their mean would be taken for a metric."""
    made = workload(score=Score("right", lambda model, batch: found))
    with pytest.raises(ValueError, match=said):
        made.evaluate(made.make_model(0))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"data": [1, 2]}, r"data must be Examples.*got a list"),
        ({"optimizer": torch.optim.AdamW}, r"got the class AdamW: give lambda model"),
        ({"optimizer": 0.0}, r"peak rate.*got 0.0: a rate is a finite number above 0"),
        ({"loss": nn.CrossEntropyLoss()}, r"got a CrossEntropyLoss, a criterion.*supervised\(it\)"),
        ({"loss": nn.functional.cross_entropy}, r"got a function, a criterion.*supervised\(it\)"),
        ({"steps": "60"}, r"steps must be a whole number, but got '60'"),
        ({"steps": 1e4}, r"steps must be a whole number, but got 10000.0"),
        ({"loss": None}, r"loss must be a function.*got None: give one, or leave it out"),
        ({"score": lambda model, batch: 1.0}, r"score must be a Score, but got a function"),
        ({"metrics": {"loss": own_loss}}, r"each of metrics must be a Score, but got a str"),
        (
            {"data": [1], "optimizer": None, "score": 3},
            r"data must.*; optimizer must.*; score must",
        ),
        ({"optimizer": "adamw"}, r"optimizer must be AdamW's peak rate.*got a str"),
        ({"evaluate": accuracy}, r"bring takes no evaluate: give score=accuracy, or score=Score"),
        ({"epochs": 3, "lr": 1e-3}, r"no epochs: give steps=.*; bring takes no lr: give optim"),
        ({"warmup": 3}, r"bring takes no warmup; did you mean warmup_steps\?"),
        ({"colour": 3}, r"bring takes no colour, and Workload has no such field"),
        (
            {"optimizer": torch.optim.SGD(nn.Linear(2, 2).parameters())},
            r"got a SGD: give lambda model",
        ),
        (
            {"data": Examples(["to be or not to be"] * 40, batch_size=4)},
            r"batches must hold tensors, but this one is a list of \(str",
        ),
    ],
)
def test_what_is_no_part_of_a_workload_is_refused(changed: dict[str, Any], said: str) -> None:
    """By its kind, with what to give."""
    parts = {"data": Examples(torch.ones(40, 2), batch_size=4), "optimizer": 0.1, "steps": 9}
    with pytest.raises(ValueError, match=said):
        bring("wrong", nn.Linear(2, 2), **{**parts, **changed})


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("transformer.layers", "which it does not have; its lists are transformer.h"),
        ("transformer", "a GPT2Model, which holds lists; its lists are transformer.h"),
    ],
)
def test_a_path_that_is_no_list_of_blocks(path: str, said: str) -> None:
    """The lists that there are get named."""
    config = GPT2Config(vocab_size=9, n_positions=6, n_embd=8, n_layer=2, n_head=2)
    with pytest.raises(ValueError, match=said):
        blocks_named(path)(GPT2LMHeadModel(config))


def test_texts_become_shorter_and_pictures_smaller() -> None:
    """What is neither stays, and nothing changes at a share of one."""
    ids, mask = torch.arange(24).view(2, 12), torch.ones(2, 12)
    batch = {"input_ids": ids, "attention_mask": mask, "labels": torch.zeros(2)}
    small = shorter(batch, 0.5)
    assert torch.equal(small["input_ids"], ids[:, :6])
    assert small["input_ids"].is_contiguous()
    assert (small["attention_mask"].shape, small["labels"].shape) == ((2, 6), (2,))
    assert shorter(ids, 0.01).shape == (2, 2)
    assert shorter(batch, 1.0) is batch
    pictures = torch.rand(2, 3, 16, 8), torch.zeros(2)
    assert [tuple(each.shape) for each in smaller(pictures, 0.25)] == [(2, 3, 4, 4), (2,)]
    assert torch.equal(smaller(pictures, 1.0)[0], pictures[0])


def test_what_batches_hold_says_how_they_are_made_smaller() -> None:
    """Texts and pictures are known; of anything else nothing is."""
    ids = Examples(torch.arange(240).view(20, 12), batch_size=4)
    pictures = Examples((torch.rand(20, 1, 8, 8), torch.arange(20)), batch_size=4)
    assert workload(data=ids).shrink is shorter
    assert workload(data=pictures).shrink is smaller
    assert workload().shrink is None


def test_further_fields_are_the_workloads() -> None:
    """By their names; the defaults depend on the steps."""
    given = workload(target=0.5, eval_every=7)
    assert (given.target, given.eval_every, given.warmup_steps) == (0.5, 7, 1)
    with pytest.raises(ValueError, match="decay_fraction=2"):
        workload(decay_fraction=2)
