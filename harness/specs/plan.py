"""A spec on a target as work: which families discover, which confirm, and the units to compute."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from harness.errors import Fault, InputError
from harness.specs.ablations import Ablation, looks
from harness.specs.claims import BehaviourClaim
from harness.specs.clusters import clusters_of
from harness.specs.edit_claims import CollateralClaim, DecoyClaim, SpecificClaim
from harness.specs.fields import RANDOM_SAE, SINGLE
from harness.specs.prompt import LIMITED, Prompt, baselines_of
from harness.specs.prompt_hash import hash_of
from harness.specs.refits import specs_again
from harness.specs.spec import Spec
from harness.specs.split import Side, sides_of
from harness.specs.targets import Target
from harness.specs.unit import ADDED_UP, PROMPTS, Stage, Unit

FEWEST = 2  # families of a side: one has no spread
OF_FILES = ("side effects", "decoys", "inject")  # stages that read other files than the spec's own


@dataclass(frozen=True)
class Plan:
    """Everything that is decided before a weight is loaded.

    `limit` is how many families of each side a trial was limited to; 0 where none is left out. `others`
    are the prompts of other files, by name, on which side effects are looked for. `refits` are the same on
    further splits, for the ablations that ask for them.
    """

    spec: Spec
    target: Target
    layers: tuple[int, ...]
    prompts: tuple[Prompt, ...]
    sides: Mapping[str, Side]
    limit: int = 0
    others: Mapping[str, tuple[Prompt, ...]] = field(default_factory=dict)
    refits: tuple["Plan", ...] = ()

    @property
    def ablations(self) -> tuple[Ablation, ...]:
        """The ablations that are made on this target."""
        return self.spec.ablations_on(self.target.name)

    def ablation(self, name: str) -> Ablation:
        """The ablation of this name."""
        specs = (self.spec, *(one.spec for one in self.refits))
        return next(one for spec in specs for one in spec.ablations if one.name == name)

    def families(self, side: Side) -> tuple[str, ...]:
        """The families of one side, by name."""
        return tuple(family for family, own in self.sides.items() if own == side)

    @property
    def confirming(self) -> frozenset[str]:
        """The texts of all prompts that confirm, on any of its splits."""
        plans = (self, *self.refits)
        return frozenset(prompt.text for plan in plans for prompt in plan.of("confirmation"))

    def of(self, side: Side) -> tuple[Prompt, ...]:
        """The prompts of one side, in file order."""
        return tuple(prompt for prompt in self.prompts if self.sides[prompt.family] == side)

    def clusters(self, tag: str, file: str = "") -> Mapping[str, str]:
        """Each family's value of a tag, or itself of `family`; of another file's prompts where it has a name.

        Raises `InputError` where it lacks the tag, or has several values of it.
        """
        name = file or self.spec.prompts
        return clusters_of(self.prompts_of(file), tag, file=name, asked="`cluster`")

    @property
    def readout(self) -> str:
        """The readout as the store names it: `last_prompt_token`, or like `answer:mean`."""
        at, reduce = self.spec.readout.at, self.spec.readout.reduce
        return at if at in SINGLE else f"{at}:{reduce}"

    @property
    def limited(self) -> str | None:
        """Why a run of it is no evidence, where families are left out."""
        return f"{LIMITED}{self.limit} families of each side" if self.limit else None

    @property
    def prompts_hash(self) -> str:
        """Changes with any word, answer, pair, family or tag; not with the order of the lines."""
        return hash_of(self.prompts, self.others)

    @property
    def steps(self) -> tuple[tuple[Stage, str], ...]:
        """The stages of a run in their order, each with the ablation that it belongs to, if any."""
        steps: list[tuple[Stage, str]] = [("observe", "")]
        steps += [("baseline", "")] * bool(self.baselines)
        steps += [("generate", "")] * bool(self.spec.new_tokens)
        steps += [("survey", "")] * bool(self.layers)
        for ablation in self.ablations:
            predicts = ablation.select.by == "attribution"
            steps += [("attribute", ablation.name)] * predicts
            steps.append(("profile", ablation.name))
            steps += [("predict", ablation.name)] * predicts
            steps += [("baseline directions", ablation.name)] * bool(ablation.directed)
            steps += [("random features", ablation.name)] * (RANDOM_SAE in ablation.baselines)
            steps.append(("ablate", ablation.name))
            steps += [("side effects", ablation.name)] * bool(self.files_beside(ablation.name))
            steps += [("decoys", ablation.name)] * bool(self.decoys_of(ablation.name))
            if ablation.tokens:
                steps += [("tokens", ablation.name), ("inject", ablation.name)]
        for refit in self.refits:
            steps += [step for step in refit.steps if step[1]]
        return (*steps, *[("trace", "")] * bool(self.layers))  # type: ignore[arg-type] # a Stage

    @property
    def n_units(self) -> int:
        """How many units a run has at most: of an ablation that ends at a look there are fewer."""
        plans = (self, *self.refits)
        parts = {one.name: len(looks(one)) for plan in plans for one in plan.ablations}

        def count(stage: Stage, ablation: str) -> int:
            if stage in OF_FILES:
                files = self.files_of(stage, ablation)
                return sum(len(self.units(stage, ablation, file=file)) for file in files)
            return len(self.units(stage, ablation)) * (parts[ablation] if stage == "ablate" else 1)

        return sum(count(stage, ablation) for stage, ablation in self.steps)

    def files_beside(self, ablation: str) -> tuple[str, ...]:
        """Where an ablation's side effects are looked for: prompt files, and '' for the other variant."""
        files = {
            claim.prompts if isinstance(claim, CollateralClaim) else ""
            for claim in self.spec.claims_on(self.target.name)
            if isinstance(claim, CollateralClaim | SpecificClaim) and claim.edit == ablation
        }
        return tuple(sorted(files))

    def decoys_of(self, ablation: str) -> tuple[str, ...]:
        """The prompt files whose contrasts the features of an ablation should not answer."""
        claims = self.spec.claims_on(self.target.name)
        mine = (c for c in claims if isinstance(c, DecoyClaim) and c.edit == ablation)
        return tuple(sorted({claim.prompts for claim in mine}))

    def files_of(self, stage: Stage, ablation: str) -> tuple[str, ...]:
        """The files that a stage reads of an ablation, '' for the spec's own."""
        if stage == "decoys":
            return self.decoys_of(ablation)
        if stage == "inject":
            wanted = self.ablation(ablation).tokens
            return (wanted.into,) if wanted else ()
        return self.files_beside(ablation) if stage == "side effects" else ("",)

    @property
    def baselines(self) -> tuple[Prompt, ...]:
        """The confirming prompts without their scenes, where a claim asks for them; else none."""
        claims = self.spec.claims_on(self.target.name)
        asked = any(isinstance(one, BehaviourClaim) and one.beyond == "baseline" for one in claims)
        return baselines_of(self.of("confirmation")) if asked else ()

    def prompts_of(self, file: str) -> tuple[Prompt, ...]:
        """The prompts of another file, or the spec's own where it has no name."""
        return self.others[file] if file else self.prompts

    def units(
        self, stage: Stage, ablation: str = "", part: int = 0, file: str = ""
    ) -> tuple[Unit, ...]:
        """The units of a stage, in an order that does not depend on the file's.

        Of stages that read another `file` those on its prompts, see `files_of`.
        """
        for refit in self.refits:
            if any(one.name == ablation for one in refit.ablations):
                return refit.units(stage, ablation, part, file)
        if stage == "decoys":
            chosen = self.others[file]
        elif file:
            # A text is one prompt, whichever variants share it.
            chosen = tuple(
                {prompt.asked: prompt for prompt in reversed(self.others[file])}.values()
            )
        elif stage in ADDED_UP or stage == "attribute":
            chosen = self.of("discovery") or self.prompts
        elif stage in ("baseline", "predict", "ablate", "side effects", "trace"):
            chosen = self.of("confirmation")
        else:
            chosen = self.prompts
        if ablation and not file and stage != "tokens":
            wanted = self.ablation(ablation)
            other = stage == "side effects"
            chosen = tuple(p for p in chosen if (p.label != wanted.variant) == other)
        ordered = sorted(chosen, key=lambda prompt: (prompt.family, prompt.id))
        families = (
            (family, tuple(prompt.id for prompt in prompts))
            for family, prompts in groupby(ordered, key=lambda prompt: prompt.family)
        )
        most = PROMPTS.get(stage, len(ordered))
        return tuple(
            Unit(stage, family, prompts[first : first + most], ablation, part, file)
            for family, prompts in families
            for first in range(0, len(prompts), most)
        )


def make_plan(
    spec: Spec,
    target: Target,
    prompts: Sequence[Prompt],
    others: Mapping[str, tuple[Prompt, ...]] | None = None,
) -> Plan:
    """Decide everything that a spec leaves to the target and the prompts.

    `others` are the prompts of other files that are named, those of parts on this target at least. Raises
    `InputError` where what the split or a test goes by is no tag of every family.
    """
    sides = sides_of(prompts, spec)
    wanted = {
        claim.prompts
        for claim in spec.claims_on(target.name)
        if isinstance(claim, CollateralClaim | DecoyClaim)
    } | {one.tokens.into for one in spec.ablations_on(target.name) if one.tokens}
    beside = {name: some for name, some in (others or {}).items() if name in wanted}
    kept = tuple(prompt for prompt in prompts if prompt.family in sides)
    plan = Plan(spec, target, layers_of(spec, target), kept, sides, others=beside)
    _check_clusters(plan)
    return with_refits(plan)


def with_refits(plan: Plan) -> Plan:
    """The plan with those of the further splits that its ablations ask for, of its own prompts."""
    again = specs_again(plan.spec, plan.target.name)
    return replace(plan, refits=tuple(_refit(plan, spec) for spec in again))


def _refit(plan: Plan, spec: Spec) -> Plan:
    sides = sides_of(plan.prompts, spec)
    prompts = tuple(prompt for prompt in plan.prompts if prompt.family in sides)
    return replace(plan, spec=spec, prompts=prompts, sides=sides, others={}, refits=())


def _check_clusters(plan: Plan) -> None:
    """Raises `InputError` where a tag that a test clusters by is none of every family that it is asked of."""
    asked = {(plan.spec.cluster, ""): None}
    for claim in plan.spec.claims_on(plan.target.name):
        if not isinstance(claim, CollateralClaim):
            asked[plan.spec.cluster_of(claim), ""] = None
        file = claim.prompts if isinstance(claim, CollateralClaim | DecoyClaim) else ""
        if file in plan.others:
            asked[plan.spec.cluster_of(claim), file] = None
    faults: list[Fault] = []
    for tag, file in asked:
        try:
            plan.clusters(tag, file)
        except InputError as error:
            faults += error.faults
    if faults:
        raise InputError(*faults)


def bare(plan: Plan, prompts: Sequence[Prompt] = ()) -> Plan:
    """The plan of these prompts alone, whatever else is in it: as work on them is given it."""
    families = {prompt.family for prompt in prompts}
    sides = {family: side for family, side in plan.sides.items() if family in families}
    return replace(plan, prompts=tuple(prompts), sides=sides, others={}, refits=())


def layers_of(spec: Spec, target: Target) -> tuple[int, ...]:
    """The layers that a spec reads on a target. `faults_of` says where they cannot be known."""
    chosen = spec.targets[target.name].layers
    if chosen == "none":
        return ()
    chosen = (target.layers or "all") if chosen == "default" else chosen
    if isinstance(chosen, str):
        return tuple(range(target.blocks or 0))
    return tuple(sorted(set(chosen)))
