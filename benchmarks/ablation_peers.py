"""Ablations of SAE features as nnsight and SAELens do them, each in its documented way.

`python -m benchmarks.ablation_peers [--quick]` compares both with a plain forward hook, then times
them. Each class sets up once, from a Gemma 2 of transformers in memory and its SAEs by layer; its
methods are the work that a user repeats. Prompts are unpadded, all of one length, and begin with
BOS, which is left alone; `ids` (prompts, tokens) is one batch.
"""

import argparse
import copy
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from benchmarks.figures import seconds
from benchmarks.place import place
from harness.models.architecture import Architecture
from harness.sae.encoding import Sae, encode

CLOSE = 1e-4  # nats


class Tool(Protocol):
    """What each way of ablating offers."""

    def ablations(
        self, ids: Tensor, layer: int, features: Sequence[int], candidates: Tensor
    ) -> Tensor:
        """Log-probabilities (features, prompts, 2) after the prompt, each feature zeroed alone.

        `candidates` (prompts, 2) are token ids. A feature is zeroed after BOS, in the output of
        block `layer`, and the SAE's error is kept.
        """

    def capture(self, ids: Tensor) -> dict[int, Tensor]:
        """Feature values (prompts, tokens, features) at every layer with an SAE, in one forward."""


class Hooks:
    """A forward hook of torch on the block: what the tools are compared with."""

    def __init__(self, network: Any, saes: Mapping[int, Sae]) -> None:
        self.network, self.saes = network, saes

    @torch.inference_mode()
    def ablations(
        self, ids: Tensor, layer: int, features: Sequence[int], candidates: Tensor
    ) -> Tensor:
        """See `Tool`; the one feature is encoded, and only the last position's logits computed."""
        scores = []
        for feature in features:
            sae = self.saes[layer].only(torch.tensor([feature]))

            def ablate(_block: Any, _args: Any, residual: Tensor, sae: Sae = sae) -> None:
                residual[:, 1:] -= encode(sae, residual[:, 1:]) @ sae.w_dec

            hook = Architecture(self.network).blocks[layer].register_forward_hook(ablate)
            try:
                logits = self.network(ids, use_cache=False, logits_to_keep=1).logits
            finally:
                hook.remove()
            scores.append(logprobs(logits, candidates))
        return torch.stack(scores)

    @torch.inference_mode()
    def capture(self, ids: Tensor) -> dict[int, Tensor]:
        """See `Tool`; all blocks run."""
        values: dict[int, Tensor] = {}

        def reader(layer: int) -> Any:
            def hook(_block: Any, _args: Any, residual: Tensor) -> None:
                values[layer] = encode(self.saes[layer], residual)

            return hook

        blocks = self.network.model.layers
        hooks = [blocks[layer].register_forward_hook(reader(layer)) for layer in self.saes]
        try:
            self.network(ids, use_cache=False, logits_to_keep=1)
        finally:
            for hook in hooks:
                hook.remove()
        return values


class Nnsight:
    """nnsight, with the SAE applied inline in a trace.

    `NNsight` wraps a module in memory; `TransformersModel` would ask for a tokenizer too, and then
    trace the same modules. Inside a trace is the user's own torch code, so it encodes one feature,
    and keywords go to the model's forward. With `.skip` a trace can leave out the blocks up to
    `layer`, from a residual kept by an earlier trace; nnsight's pages on ablation do not.
    """

    def __init__(self, network: Any, saes: Mapping[int, Sae], *, frugal: bool = False) -> None:
        from nnsight import NNsight

        # What a user can add who knows the model behind it: nnsight's pages compute all logits.
        self.keywords = {"use_cache": False, "logits_to_keep": 1} if frugal else {}
        # It instruments the modules that it wraps: another tree of them, with the same weights.
        self.model = NNsight(with_same_weights(network))
        self.saes = saes

    @torch.inference_mode()
    def ablations(
        self, ids: Tensor, layer: int, features: Sequence[int], candidates: Tensor
    ) -> Tensor:
        """See `Tool`; one trace for each feature."""
        model, scores = self.model, []
        for feature in features:
            sae = self.saes[layer].only(torch.tensor([feature]))
            with model.trace(ids, **self.keywords):
                residual = model.model.layers[layer].output
                residual[:, 1:] -= encode(sae, residual[:, 1:]) @ sae.w_dec
                logits = model.output.logits.save()
            scores.append(logprobs(logits, candidates))
        return torch.stack(scores)

    @torch.inference_mode()
    def capture(self, ids: Tensor) -> dict[int, Tensor]:
        """See `Tool`; stops after the last layer that is read."""
        model, saes = self.model, self.saes
        values: dict[int, Tensor] = {}
        with model.trace(ids, use_cache=False) as tracer:
            for layer in sorted(saes):
                values[layer] = encode(saes[layer], model.model.layers[layer].output)
            tracer.stop()
        return values


class SaeLens:
    """SAELens, with the SAE spliced into a `HookedSAETransformer` together with its error term.

    For Gemma 2 its usage guide prefers this class to the newer `SAETransformerBridge`.
    TransformerLens converts the weights, which are not processed further, and computes the logits
    of all positions. Each forward encodes and decodes twice, the second time without hooks, for the
    error. `start_at_layer` can begin after `layer`, from a residual kept by an earlier forward, but
    the SAE is then the user's to apply; SAELens's guide does not.
    """

    def __init__(self, network: Any, saes: Mapping[int, Sae]) -> None:
        from sae_lens import HookedSAETransformer
        from transformer_lens.pretrained.weight_conversions import convert_gemma_weights

        config = hooked_config(network.config)
        self.model = HookedSAETransformer(config).eval()
        self.model.load_and_process_state_dict(
            convert_gemma_weights(network, config),
            fold_ln=False,
            center_writing_weights=False,
            center_unembed=False,
            fold_value_biases=False,
        )
        self.saes = {layer: sae_of_saelens(sae, layer) for layer, sae in saes.items()}

    @torch.inference_mode()
    def ablations(
        self, ids: Tensor, layer: int, features: Sequence[int], candidates: Tensor
    ) -> Tensor:
        """See `Tool`; the SAE is attached once, for all features."""
        sae, scores = self.saes[layer], []
        name = f"{sae.cfg.metadata.hook_name}.hook_sae_acts_post"
        with self.model.saes(saes=[sae], use_error_term=True):
            for feature in features:

                def ablate(values: Tensor, feature: int = feature, **_: Any) -> Tensor:
                    values[:, 1:, feature] = 0.0
                    return values

                logits = self.model.run_with_hooks(ids, fwd_hooks=[(name, ablate)])
                scores.append(logprobs(logits, candidates))
        return torch.stack(scores)

    @torch.inference_mode()
    def capture(self, ids: Tensor) -> dict[int, Tensor]:
        """See `Tool`; stops after the last layer that is read, and encodes what was cached."""
        names = {layer: sae.cfg.metadata.hook_name for layer, sae in self.saes.items()}
        _, cache = self.model.run_with_cache(
            ids, names_filter=list(names.values()), stop_at_layer=max(names) + 1
        )
        return {layer: self.saes[layer].encode(cache[name]) for layer, name in names.items()}


def logprobs(logits: Tensor, candidates: Tensor) -> Tensor:
    """Of the candidates (prompts, 2), from the last of the logits (prompts, tokens, vocabulary)."""
    return logits[:, -1].float().log_softmax(-1).gather(-1, candidates)


def with_same_weights(network: nn.Module) -> nn.Module:
    """A copy of the modules that shares parameters and buffers."""
    tensors = [*network.parameters(), *network.buffers()]
    return copy.deepcopy(network, {id(tensor): tensor for tensor in tensors})


def hooked_config(config: Any) -> Any:
    """The configuration of a Gemma 2 of transformers, in the words of TransformerLens."""
    from transformer_lens import HookedTransformerConfig

    local = {"sliding_attention": "local", "full_attention": "global"}
    return HookedTransformerConfig(
        d_model=config.hidden_size,
        d_head=config.head_dim,
        n_heads=config.num_attention_heads,
        n_key_value_heads=config.num_key_value_heads,
        n_layers=config.num_hidden_layers,
        n_ctx=config.max_position_embeddings,
        d_mlp=config.intermediate_size,
        d_vocab=config.vocab_size,
        act_fn=config.hidden_activation,
        gated_mlp=True,
        eps=config.rms_norm_eps,
        normalization_type="RMS",
        final_rms=True,
        use_normalization_before_and_after=True,
        positional_embedding_type="rotary",
        rotary_base=config.rope_parameters["rope_theta"],
        attn_scale=config.query_pre_attn_scalar**0.5,
        use_local_attn=True,
        window_size=config.sliding_window,
        attn_types=[local[kind] for kind in config.layer_types],
        attn_scores_soft_cap=config.attn_logit_softcapping,
        output_logits_soft_cap=config.final_logit_softcapping,
        original_architecture="Gemma2ForCausalLM",
        init_weights=False,
        device=str(place()),
    )


def sae_of_saelens(sae: Sae, layer: int) -> Any:
    """The same SAE as an object of SAELens, for the output of a block.

    SAELens also applies a ReLU, which changes nothing where no threshold is negative.
    """
    from sae_lens import JumpReLUSAE, JumpReLUSAEConfig
    from sae_lens.saes.sae import SAEMetadata

    made = JumpReLUSAE(
        JumpReLUSAEConfig(
            d_in=sae.width,
            d_sae=sae.features,
            apply_b_dec_to_input=False,
            normalize_activations="none",
            device=str(place()),
            metadata=SAEMetadata(hook_name=f"blocks.{layer}.hook_resid_post"),
        )
    )
    weights = {"W_enc": sae.w_enc, "b_enc": sae.b_enc, "W_dec": sae.w_dec, "b_dec": sae.b_dec}
    made.load_state_dict({**weights, "threshold": sae.threshold})
    return made.requires_grad_(False)


def main() -> int:
    """Print how far each tool is from a plain hook, and its seconds; 1 where one is not close."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="compare, without timing")
    options = parser.parse_args()
    network, layer = example_network(), 6
    saes = {block: example_sae(network.config.hidden_size, 4096, block) for block in (3, layer)}
    ids, candidates = example_prompts(64, 24, network.config)
    hooks = Hooks(network, saes)
    tools: dict[str, Tool] = {"nnsight": Nnsight(network, saes), "SAELens": SaeLens(network, saes)}
    values = hooks.capture(ids[:8])
    busiest = values[layer].sum((0, 1)).topk(4).indices.tolist()
    few = (ids[:8], layer, busiest, candidates[:8])
    expected = hooks.ablations(*few)
    effects = expected - logprobs(network(ids[:8]).logits, candidates[:8])
    active = torch.stack([value > 0 for value in values.values()]).float().mean()
    print(f"4 features x 8 prompts: effects of up to {effects.abs().max():.2g} nats")
    print(f"{active:.1%} of feature values are above 0, the largest is {values[layer].max():.3g}")
    held = []
    for name, tool in tools.items():
        apart = float((tool.ablations(*few) - expected).abs().max())
        print(f"{name}: at most {apart:.1e} nats from a forward hook")
        held.append(apart < CLOSE)
        for block, theirs in tool.capture(ids[:8]).items():
            crossed = (theirs > 0) != (values[block] > 0)  # within rounding of the threshold
            apart = float((theirs - values[block]).abs().masked_fill(crossed, 0.0).max())
            print(f"{name}, layer {block}: at most {apart:.1e} apart, {int(crossed.sum())} crossed")
            held.append(apart < CLOSE and float(crossed.float().mean()) < CLOSE)
    if not options.quick:
        for name, tool in {"forward hook": hooks, **tools}.items():
            tool.ablations(ids, layer, range(1), candidates)
            ablating = seconds(partial(tool.ablations, ids, layer, range(8), candidates))
            capturing = seconds(partial(tool.capture, ids))
            print(f"{name}: 8 features x 64 prompts {ablating:.2f} s, capture {capturing:.2f} s")
    return 0 if all(held) else 1


def example_network(layers: int = 12, width: int = 512, family: str = "gemma2") -> Any:
    """A decoder of eight heads with random weights in float32 and eager attention."""
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    # What a family does not have it does not read.
    config = AutoConfig.for_model(
        family,
        vocab_size=8192,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=8,
        num_key_value_heads=4,
        head_dim=width // 8,
        query_pre_attn_scalar=width // 8,
        sliding_window=4096,
        bos_token_id=2,
        pad_token_id=0,
        eos_token_id=1,
        tie_word_embeddings=family == "gemma2",
    )
    network = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    network = network.eval().requires_grad_(False)
    for name, weight in network.named_parameters():  # large enough for every detail to count
        if "norm" in name or "ln_" in name:
            weight.normal_(std=0.2)
        elif family != "gemma2" and ("embed" in name or "wte" in name):
            weight.mul_(8 * width**0.5)  # as Gemma does by itself, and its norms on top
        elif "q_proj" in name or "k_proj" in name:
            weight.mul_(2)
    norm = Architecture(network).norm
    assert norm is not None
    norm.weight.add_(4)  # type: ignore[operator, union-attr]
    return network.to(place())


def example_sae(width: int, features: int, seed: int) -> Sae:
    """A random SAE of `example_network`, about one value in twenty above its threshold."""
    random = torch.Generator().manual_seed(seed)
    w_dec = normalize(torch.randn(features, width, generator=random), dim=-1)
    sae = Sae(
        w_enc=w_dec.T.contiguous(),
        b_enc=0.1 * torch.randn(features, generator=random),
        w_dec=w_dec,
        b_dec=0.1 * torch.randn(width, generator=random),
        threshold=5.0 + torch.rand(features, generator=random),
    )
    return sae.to(place())


def example_prompts(prompts: int, tokens: int, config: Any) -> tuple[Tensor, Tensor]:
    """Random token ids (prompts, tokens) after BOS, and candidates (prompts, 2)."""
    random = torch.Generator().manual_seed(1)
    ids = torch.randint(3, config.vocab_size, (prompts, tokens), generator=random)
    ids[:, 0] = config.bos_token_id
    candidates = torch.randint(3, config.vocab_size, (prompts, 2), generator=random)
    return ids.to(place()), candidates.to(place())


if __name__ == "__main__":
    sys.exit(main())
