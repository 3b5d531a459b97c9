"""What a sound workload is: its parts, what its steps cost here, and what it can do."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor, nn

from models.device import device_name
from models.identity import batch_form, kind_of, kinds_of
from models.making import blocks_of
from policies.applying.parts import STEM
from policies.applying.wiring import Part
from tuning.training.calibration.bench import StepBench
from tuning.training.calibration.calibrate import Effort, kinds_of_step, measure_rounds
from tuning.training.examination.subject import SEED, Subject, parts_of
from tuning.training.generators import generators_kept, seed_all
from tuning.trial.anatomy import Ability, Anatomy, PartFacts

EFFORT = Effort(min_rounds=1, max_rounds=5, seconds=0.03)
"""An effort that is enough for a reader; a search measures anew."""


@generators_kept()
def anatomy_of(subject: Subject, levers: Mapping[str, str | None]) -> Anatomy:
    """Find out what the workload is. Steps are timed, so the device has to be free.

    Args:
        subject: the workload, which was found sound.
        levers: for each value of a lever, why the workload cannot have it; None where it can.
    """
    seed_all(SEED)
    workload = subject.workload
    model = subject.model()
    frozen = _count(p for p in model.parameters() if not p.requires_grad)
    bench = StepBench(workload, SEED, subject.device)
    depths = sorted({1, (1 + bench.num_blocks) // 2, bench.num_blocks})
    for depth in depths:
        bench.step(depth)
    work = kinds_of_step(bench, depths)
    del work["probe"]
    laps = measure_rounds(bench, work, EFFORT)
    seconds = {kind: statistics.median(lap.wall for lap in each) for kind, each in laps.items()}
    steps = {depth: seconds[f"step_{depth}"] for depth in depths}
    full = steps[bench.num_blocks] + seconds["data"]
    return Anatomy(
        parts=_parts(model, blocks_of(workload, model), subject),
        frozen=frozen,
        optimizer=kind_of(bench.optimizer),
        batch=batch_form(bench.batch),
        device=device_name(subject.device),
        step_seconds=steps,
        data_seconds=seconds["data"],
        evaluation_seconds=subject.evaluation_seconds,
        abilities=tuple(Ability(name, fault) for name, fault in levers.items()),
        baseline_seconds=workload.steps * full,
        evaluations=workload.steps / workload.eval_every,
    )


def _parts(
    model: nn.Module, blocks: Sequence[nn.Module], subject: Subject
) -> tuple[PartFacts, ...]:
    parts = parts_of(subject.workload, model, subject.batch())
    inner = [parts[index].parameters for index in range(len(blocks))]
    return (
        PartFacts("stem", _names(model, parts[STEM]), _count(parts[STEM].parameters)),
        PartFacts(
            "blocks",
            kinds_of(blocks) + _between(model, blocks, [parts[n] for n in range(len(blocks))]),
            _count(itertools.chain.from_iterable(inner)),
        ),
        PartFacts("head", _names(model, parts[len(blocks)]), _count(parts[len(blocks)].parameters)),
    )


def _between(model: nn.Module, blocks: Sequence[nn.Module], parts: Sequence[Part]) -> str:
    """The names of what is trained with the blocks and belongs to none of them, as the rest of a
    sentence; empty where there is nothing.
    """
    held = {id(each) for block in blocks for each in (*block.modules(), *block.parameters())}
    beside = Part(
        [p for part in parts for p in part.parameters if id(p) not in held],
        [
            module
            for part in parts
            for module in part.modules
            if id(module) not in held and next(module.parameters(), None) is not None
        ],
    )
    return f", with {_names(model, beside)} between them" if beside.parameters else ""


def _count(parameters: Iterable[Tensor]) -> int:
    return sum(parameter.numel() for parameter in parameters)


def _names(model: nn.Module, part: Part) -> str:
    """What a part consists of: the outermost modules, and parameters that stand alone."""
    own = {id(module) for module in part.modules}
    names: list[str] = []
    for name, module in model.named_modules():
        if id(module) in own and not any(name.startswith(f"{outer}.") for outer in names):
            names.append(name)
    held = {id(p) for module in part.modules for p in module.parameters()}
    loose = {id(p) for p in part.parameters} - held
    names += [name for name, p in model.named_parameters() if id(p) in loose]
    return ", ".join(names) or "nothing"
