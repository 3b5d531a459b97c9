"""A recipe from ``recipe.toml`` in a plain loop: the trial again, to the last bit."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from models.compute.compiling import compiled
from models.levers import shaping
from models.levers.levers import make_levers
from models.registry import find_workload
from models.workload import Workload
from policies.base import StepPlan, UpdatePolicy
from policies.registry import make_policy
from tests.support import knobby, tiny
from tests.support.costs import made_up_costs, with_every_form
from tests.tuning.training.test_loop import DYNAMIC, LEVERS, STEPWISE, through_a_file
from tuning import load_recipe
from tuning.training.examination.rehearsal import Heard
from tuning.training.generators import seed_all
from tuning.training.loop import TrainingRun, evaluate, timetable
from tuning.training.plain_loop import LoadedRecipe, RecipeRun
from tuning.trial.clock import CostTable
from tuning.trial.course import Timetable
from tuning.trial.recipe_file import RecipeFile, baseline_of, parse

CPU, SEED = torch.device("cpu"), 3
ALL: dict[str, dict[str, Any]] = {"no lever": {}, **LEVERS, **STEPWISE}
STEPS = 12
Loop = tuple[nn.Module, list[float], list[float]]


def again() -> Workload:
    """``tiny.again`` as short as an epoch and what every lever does after it allow."""
    return replace(tiny.again(), steps=STEPS)


def costs_for(knobs: dict[str, Any], blocks: int = 4) -> CostTable:
    """Made-up costs that hold the forms of the levers and no other, as a run's clock does."""
    plain, levers = made_up_costs(blocks), make_levers(knobs)
    every = with_every_form(plain)
    return CostTable(
        **{**vars(plain), "forms": {key: every.forms[key] for key in levers.charges(blocks)}}
    )


def trained(knobs: dict[str, Any], policy: UpdatePolicy[Any], workload: Workload) -> Any:
    """The search's own run: the run, and the loss of each step."""
    heard = Heard()
    run = TrainingRun(
        workload,
        policy,
        seed=SEED,
        horizon=1.0,
        costs=costs_for(knobs, len(workload.blocks(workload.make_model(SEED)))),
        device=CPU,
        levers=make_levers(knobs),
        recorder=heard,
    )
    while not run.finished:
        run.advance()
    return run, heard.losses


@cache
def trial(name: str, policy: str) -> tuple[UpdatePolicy[Any], Any]:
    """The schedule, and the search's own run of ``again`` by it and the levers of a name:
    trained once, for all that are compared with it.
    """
    schedule = make_policy(policy, DYNAMIC if policy == "dynamic_suffix" else {})
    return schedule, trained(ALL[name], schedule, again())


def recipe_of(
    knobs: dict[str, Any], policy: UpdatePolicy[Any], workload: Workload, steps: int
) -> LoadedRecipe:
    """What is read back from the file of such a trial."""
    written = RecipeFile(
        policy,
        make_levers(knobs),
        {"seed": SEED, "horizon": 1.0, "steps": steps},
        timetable(workload),
        costs_for(knobs, len(workload.blocks(workload.make_model(SEED)))),
    ).to_toml()
    return LoadedRecipe(parse(written, "the text"))


def applied(recipe: LoadedRecipe, workload: Workload, **told: Any) -> tuple[nn.Module, RecipeRun]:
    """A new model under the recipe, as a user makes it."""
    seed_all(SEED)
    model = workload.make_model(SEED)
    run = recipe.apply(
        model,
        workload.blocks(model),
        workload.make_optimizer(model),
        **{
            "batch_at": workload.batch_at,
            "examples_at": workload.examples_at,
            "shrink": workload.shrink,
            "loss": workload.loss,
        }
        | told,
    )
    return model, run


def loop(model: nn.Module, run: RecipeRun, workload: Workload, source: Any = None) -> Loop:
    """A plain loop: the model, the loss of each step, and the evaluations."""
    losses, evaluations = [], []
    for batch in run.batches(source):
        with run.step() as step:
            loss = workload.loss(model, batch)
            loss.backward()  # type: ignore[no-untyped-call]
            step.observe(loss)
        losses.append(loss.item())
        if run.evaluation_due:
            with run.averaged():
                evaluations.append(evaluate(workload, model))
    return model, losses, evaluations


def assert_same(ours: Any, plain: Loop) -> None:
    """Weights by name, every step's loss and every evaluation, to the bit."""
    (run, losses), (model, plain_losses, evaluations) = ours, plain
    assert plain_losses == losses
    assert evaluations == [point.val_loss for point in run.curve]
    mine, its = run.model.state_dict(), model.state_dict()
    assert mine.keys() == its.keys()
    assert all(torch.equal(mine[name], its[name]) for name in mine)


def test_what_rests_in_recovery_keeps_its_moments() -> None:
    """Whether or not the workload's factory asks what is to be trained, as most do: the trials are
    one, and so is the loop.
    """

    def of_trained(model: nn.Module) -> torch.optim.Optimizer:
        found = [parameter for parameter in model.parameters() if parameter.requires_grad]
        return torch.optim.AdamW(found, lr=3e-3)

    def of_all(model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.AdamW(model.parameters(), lr=3e-3)

    knobs, schedule = LEVERS["for a while, recovering"], make_policy("full_update", {})
    asking = replace(again(), make_optimizer=of_trained)
    ours = trained(knobs, schedule, asking)
    assert ours[1] == trained(knobs, schedule, replace(asking, make_optimizer=of_all))[1]
    model, run = applied(recipe_of(knobs, schedule, asking, ours[0].steps), asking)
    assert_same(ours, loop(model, run, asking))


def test_a_norm_that_rests_rests_in_a_plain_loop_too() -> None:
    """Its statistics are those that it came with; a part with layers in it is woken in both."""

    def make_model(seed: int) -> nn.Module:
        model = tiny.make_model(seed)
        model.stem = nn.Sequential(model.stem, nn.BatchNorm1d(tiny.WIDTH).eval())  # type: ignore[assignment]
        model.blocks[1].eval()
        return model

    workload, full = replace(again(), make_model=make_model), make_policy("full_update", {})
    ours = trained({}, full, workload)
    model, run = applied(recipe_of({}, full, workload, ours[0].steps), workload)
    assert not model.get_submodule("stem.1").training
    assert model.get_submodule("blocks.1").training
    assert_same(ours, loop(model, run, workload))


@pytest.mark.parametrize("policy", ["full_update", "dynamic_suffix"])
@pytest.mark.parametrize("name", ALL)
def test_a_plain_loop_equals_the_trial(name: str, policy: str) -> None:
    """Trains both on the CPU, for every lever, through the text of the file."""
    knobs, workload = ALL[name], again()
    schedule, ours = trial(name, policy)
    model, run = applied(recipe_of(knobs, schedule, workload, ours[0].steps), workload)
    assert_same(ours, loop(model, run, workload))


def test_byte_lm_in_a_plain_loop_equals_the_trial() -> None:
    """A few steps of the real workload: growth, Muon, small batches and an average together."""
    workload = replace(find_workload("byte_lm", None), steps=8, eval_every=4, warmup_steps=2)
    knobs = STEPWISE["growing with muon on half batches"]
    schedule = make_policy("dynamic_suffix", DYNAMIC)
    ours = trained(knobs, schedule, workload)
    model, run = applied(recipe_of(knobs, schedule, workload, ours[0].steps), workload)
    assert_same(ours, loop(model, run, workload))


@pytest.mark.parametrize("name", [name for name in ALL if name != "fitted to data"])
def test_a_loader_does_as_well_and_nothing_else_need_be_told(name: str) -> None:
    """Batches one after the other, and the model's parts are seen in the first step."""
    knobs, workload = ALL[name], again()
    if knobs.get("approximation") == "low_rank_diagonal":
        return
    schedule, ours = trial(name, "dynamic_suffix")
    recipe = recipe_of(knobs, schedule, workload, ours[0].steps)
    model, run = applied(recipe, workload, batch_at=None, loss=None)
    stream = map(partial(workload.batch_at, SEED), range(1000))
    assert_same(ours, loop(model, run, workload, stream))


@settings(deadline=None, max_examples=10)
@example(stop=6, name="fewer units")  # its form changes with the batch that was asked for last
@given(stop=st.integers(0, 15), name=st.sampled_from(sorted(ALL)))
def test_a_resumed_loop_equals_the_straight_one(stop: int, name: str) -> None:
    """Property: saved through a real file at any step, and gone on in a new model. The straight one
    has the weights of the trial, as above.
    """
    knobs, workload = ALL[name], again()
    schedule, (straight, _) = trial(name, "dynamic_suffix")
    recipe = recipe_of(knobs, schedule, workload, straight.steps)
    first, begun = applied(recipe, workload)
    for batch in begun.batches():
        if begun.steps >= stop:
            break
        with begun.step() as step:
            loss = workload.loss(first, batch)
            loss.backward()  # type: ignore[no-untyped-call]
            step.observe(loss)
    second, resumed = applied(recipe, workload)
    resumed.load_state_dict(through_a_file(begun.state_dict()))
    loop(second, resumed, workload)
    mine, its = straight.model.state_dict(), second.state_dict()
    assert mine.keys() == its.keys()
    assert all(torch.equal(mine[key], its[key]) for key in mine)


def test_other_lengths_scale_fractions_and_keep_counts() -> None:
    """Three times as long: three times the steps, the warm-up as it was."""
    workload, full = tiny.again(), make_policy("full_update", {})
    recipe = recipe_of({}, full, workload, workload.steps)
    model, run = applied(recipe, workload, total_steps=3 * workload.steps)
    rates = []
    for batch in run.batches():
        with run.step() as step:
            rates.append(run.optimizer.param_groups[0]["lr"])
            loss = workload.loss(model, batch)
            loss.backward()  # type: ignore[no-untyped-call]
            step.observe(loss)
    assert run.steps == 3 * workload.steps
    assert rates[:3] == [0.005, 0.01, 0.01]
    assert rates[-1] < rates[-10] < 0.01
    assert rates[40] == 0.01


STEPWISE_PLAN = st.fixed_dictionaries(
    {
        "warmup": st.integers(0, 6),
        "decay": st.sampled_from([0.1, 0.25, 0.5]),
        "eval_every": st.integers(1, 7),
        "times": st.sampled_from([0.5, 1.0, 1.7, 3.0]),
        "change_at": st.sampled_from([0.25, 0.5, 0.8]),
    }
)


@settings(deadline=None, max_examples=12)
@given(plan=STEPWISE_PLAN)
def test_at_any_length_what_is_counted_stays_and_what_is_a_fraction_scales(
    plan: dict[str, Any],
) -> None:
    """Property, on the course that a loop of a recipe keeps: all steps cost alike, so the run has
    the steps that were asked for; it warms up and is evaluated as before, and decays and changes
    its batch at the same fractions.
    """
    steps = 30
    levers = make_levers({"batch_start": 0.5, "batch_change_at": plan["change_at"]})
    free = CostTable(**{**vars(made_up_costs(4)), "forms": dict.fromkeys(["batch 0.5"])})
    costs = replace(free, forms={"batch 0.5": replace(free, forms={})})
    numbers = Timetable(steps, plan["eval_every"], plan["warmup"], plan["decay"])
    facts = {"seed": 0, "horizon": 1.0, "steps": steps}
    recipe = LoadedRecipe(RecipeFile(make_policy("full_update", {}), levers, facts, numbers, costs))
    wanted = round(steps * plan["times"])
    course, seen = recipe.course(wanted), []
    while not course.finished:
        seen.append((course.rate_factor, course.form.batch, course.fraction))
        course.step(StepPlan((0, 1, 2, 3), probe=False, phase="full"))
        assert course.evaluation_due == (course.finished or course.steps % plan["eval_every"] == 0)
    assert len(seen) == wanted
    rising = [round(factor * plan["warmup"]) for factor, _, _ in seen[: plan["warmup"]]]
    if wanted * (1 - plan["decay"]) > plan["warmup"]:
        assert rising == list(range(1, plan["warmup"] + 1))
    falling = [at for factor, _, at in seen[plan["warmup"] :] if factor < 1]
    assert all(at > 1 - plan["decay"] - 1e-9 for at in falling)
    before = {batch for _, batch, at in seen if at < plan["change_at"] - 1e-9}
    after = {batch for _, batch, at in seen if at > plan["change_at"] + 1e-9}
    assert (before, after) == ({0.5}, {1.0})


@given(name=st.text(st.characters(exclude_categories=["Cs"]), max_size=9))
def test_any_text_comes_back_from_the_file(name: str) -> None:
    """Property: also beyond the first plane, and characters that control a terminal."""
    file = replace(recipe_of({}, make_policy("full_update", {}), tiny.tiny(), 9).file)
    facts = {**file.facts, "workload": name}
    again = parse(replace(file, facts=facts, own={name or "x": name}).to_toml(), "the text")
    assert again.facts == facts
    assert again.own == {name or "x": name}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("horizon = 1.0", "horizon = inf", "horizon must be a finite number above zero"),
        ("seed = 3", "seed = -1", "seed must be a whole number >= 0, but got -1"),
        ("num_blocks = 4", 'num_blocks = "two"', "num_blocks must be a whole number"),
        ("4 = 0.", "4 = -0.", "seconds must be such as a device can take"),
        ("format = 1", 'format = 1\nworkload = "x"', "own: 'str' object has no attribute"),
    ],
)
def test_a_recipe_of_wrong_values_is_refused(old: str, new: str, said: str) -> None:
    """One value of a file that is right otherwise is another."""
    text = recipe_of({}, make_policy("full_update", {}), tiny.tiny(), 9).file.to_toml()
    assert old in text
    with pytest.raises(ValueError, match=said):
        parse(text.replace(old, new, 1), "the text")


def test_own_knobs_in_a_plain_loop_equal_the_trial() -> None:
    """A model that the factory makes with the file's own knobs, dropout among them."""
    own: dict[str, Any] = {"dropout": 0.25, "layers": 2, "width": 24}
    workload = knobby.make(**own)
    schedule = make_policy("dynamic_suffix", DYNAMIC)
    ours = trained({}, schedule, workload)
    file = replace(recipe_of({}, schedule, workload, ours[0].steps).file, own=own)
    loaded = LoadedRecipe(parse(file.to_toml(), "the text"))
    assert loaded.own == own
    again = knobby.make(**cast(Any, loaded.own))
    assert_same(ours, loop(*applied(loaded, again), again))


@pytest.mark.parametrize(
    "knobs",
    [{"compiled": True, "optimizer": "muon"}, {"attention_backend": "math"}],
)
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # torch's own use of it
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
def test_kernels_and_compilation_in_a_plain_loop_equal_the_trial(
    knobs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transformer's blocks compiled, and its attention forced onto a kernel.

    Compiled are they but for writing C++, which takes most of the time and is the same for both.
    """
    monkeypatch.setattr(shaping, "compiled", partial(compiled, compiler="aot_eager"))
    workload = replace(find_workload("byte_lm", None), steps=4, eval_every=4, warmup_steps=1)
    full = make_policy("full_update", {})  # the fewest graphs: each is compiled for seconds
    ours = trained(knobs, full, workload)
    model, run = applied(recipe_of(knobs, full, workload, ours[0].steps), workload)
    assert_same(ours, loop(model, run, workload))


@pytest.mark.parametrize("decay", ["cosine", lambda progress: (1 - progress) ** 2])
def test_a_decay_of_another_shape_equals_the_trial(decay: Any) -> None:
    """By name, and as the points of a function of the user's own, through the text of the file."""
    workload = replace(again(), decay=decay, decay_fraction=0.5)
    full = make_policy("full_update", {})
    ours = trained({}, full, workload)
    recipe = recipe_of({}, full, workload, ours[0].steps)
    assert recipe.file.timetable == timetable(workload)
    assert_same(ours, loop(*applied(recipe, workload), workload))


def test_an_optimizer_with_other_numbers_is_said() -> None:
    """The kind, and each number that differs; the trial's own is not worth a word."""
    workload, full = tiny.again(), make_policy("full_update", {})
    plain = recipe_of({}, full, workload, 20).file
    model = workload.make_model(SEED)
    own = workload.make_optimizer(model)
    known = baseline_of("AdamW", own.param_groups)
    recipe = LoadedRecipe(parse(replace(plain, baseline=known).to_toml(), "the text"))
    assert recipe.file.baseline == known
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recipe.apply(model, workload.blocks(model), own)
    other = torch.optim.SGD(model.parameters(), lr=0.5)
    with pytest.warns(UserWarning, match=r"AdamW \(here SGD\), lr 0\.01 \(here 0\.5\)"):
        recipe.apply(model, workload.blocks(model), other)


def test_all_that_is_missing_is_named_at_once() -> None:
    """A recipe that needs four things, a model with other blocks, and no steps."""
    knobs = {"prefix": 0.5, "input_start": 0.5}
    workload = tiny.again()
    recipe = recipe_of(knobs, make_policy("full_update", {}), workload, 20)
    model = tiny.make_model(0, depth=3)
    with pytest.raises(ValueError, match="total_steps >= 1") as fault:
        recipe.apply(model, tiny.blocks(model), tiny.make_optimizer(model), total_steps=0)
    for said in ("blocks must be 4", "examples_at must be given", "shrink must be given"):
        assert said in str(fault.value)


def test_batches_that_the_recipe_cuts_must_come_from_it() -> None:
    """A loop with batches of its own, one that takes two, and one without any."""
    workload = tiny.again()
    recipe = recipe_of({"batch_start": 0.5}, make_policy("full_update", {}), workload, 20)
    _, run = applied(recipe, workload, batch_at=None, loss=None)
    with pytest.raises(RuntimeError, match=r"must come from run.batches"), run.step():
        pass
    with pytest.raises(ValueError, match="batches must come from somewhere"):
        run.batches()
    with pytest.raises(ValueError, match="must last for the run, but there were 0"):
        next(run.batches(iter([])))
    two = run.batches([workload.batch_at(0, 0)])
    next(two)
    with pytest.raises(RuntimeError, match="each batch must be used in one"):
        next(two)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("policy =", "a recipe must be TOML"),
        ("format = 9\npolicy = 'full_update'", "must have format = 1, but .* has 9"),
        ("policy = 'full_update'\n[knobs]\n", r"has no \[trial\], \[schedule\], \[clock\]"),
        (
            "format = 1\npolicy = 'no'\n[trial]\nseed = 0\nsteps = 0\nhorizon = 1.0\n"
            "[schedule]\nsteps = 3\n[clock]\n",
            "policy: .*; facts: steps must be .*; timetable: .*; costs has no 'num_blocks'",
        ),
    ],
)
def test_files_that_are_no_recipe_are_named(tmp_path: Path, text: str, said: str) -> None:
    """One message each, with every fault."""
    file = tmp_path / "recipe.toml"
    file.write_text(text)
    with pytest.raises(ValueError, match=said):
        load_recipe(file)
    with pytest.raises(ValueError, match="must be a readable file"):
        load_recipe(tmp_path / "none.toml")
