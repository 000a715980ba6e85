"""The operations an implementation may be asked for: their equations, inputs and outputs.

Images are (N, H, W, C). A weight of `linear` is (in, out), one of `conv2d` is (kernel, kernel,
C_in, C_out). Gradients of parameters are sums over the batch. Outputs are listed in the order in
which a step computes them: the first that is wrong is where to look.
"""

from typing import NamedTuple

# What an input or output may be. An array is one of floats or ints; "weights" are float arrays
# by the name of their parameter, "{layer}.weight" or "{layer}.bias".
KINDS = ("floats", "ints", "number", "whole", "text", "layers", "weights", "steps")


class Op(NamedTuple):
    """One operation: the group (file) it belongs to, its equation, and its named values."""

    group: str
    equation: str
    inputs: dict[str, str]
    outputs: dict[str, str]


def _layer(equation: str, inputs: str = "", parameters: str = "") -> Op:
    settings = {name: "number" if name == "eps" else "whole" for name in inputs.split()}
    arrays = {"x": "floats", **dict.fromkeys(parameters.split(), "floats")}
    gradients = {f"d{name}": "floats" for name in arrays}
    return Op(
        "layers", equation, {**arrays, **settings, "dy": "floats"}, {"y": "floats"} | gradients
    )


# What happens in one step of `split_steps`, in reading order.
STEP = {
    "smashed": "floats",
    "loss": "number",
    "cut_gradient": "floats",
    "client_gradients": "weights",
    "summed_gradients": "weights",
    "client_weights": "weights",
    "server_weights": "weights",
}
# Outputs that an implementation may leave out, since not every framework shows them.
OPTIONAL = ("smashed", "cut_gradient", "client_gradients", "summed_gradients", "logits")

# The layers of `split_steps`: their settings besides "type".
LAYERS = {
    "flatten": (),
    "linear": (),
    "conv2d": ("stride", "padding"),
    "relu": (),
    "max_pool2d": ("kernel", "stride"),
    "avg_pool2d": ("kernel", "stride"),
    "group_norm": ("num_groups", "eps"),
}

OPS = {
    "linear": _layer("y = x W + b", parameters="weight bias"),
    "conv2d": _layer(
        "y[n,h,w] = b + Σ_ij x[n, s h + i - p, s w + j - p] W[i,j], zeros around x",
        "stride padding",
        "weight bias",
    ),
    "relu": _layer("y = max(x, 0), with relu'(0) = 0"),
    "max_pool2d": _layer("y = the largest number of each window", "kernel stride"),
    "avg_pool2d": _layer("y = the mean of each window", "kernel stride"),
    "group_norm": _layer(
        "y = w (x - mean) / √(var + eps) + b, population variance over a sample's group",
        "num_groups eps",
        "weight bias",
    ),
    "cross_entropy": Op(
        "layers",
        "loss = 1/N Σ_n (log Σ_m exp z_nm - z_n,y_n), in nats",
        {"logits": "floats", "labels": "ints"},
        {"loss": "number", "dlogits": "floats"},
    ),
    "sgd": Op(
        "optimizer",
        "g ← g + weight_decay · w; v ← momentum · v + g; w ← w - learning_rate · v, from v = 0",
        {
            "weight": "floats",
            "gradients": "floats",  # (S, ...): one for each of S steps
            "learning_rate": "number",
            "momentum": "number",
            "weight_decay": "number",
        },
        {"weights": "floats"},  # (S, ...): after each step
    ),
    "split_steps": Op(
        "steps",
        "each step is one SGD step on the pooled batch: Σ_k g_k of the mean loss over all B_t",
        {
            "layers": "layers",
            "weights": "weights",
            "cut": "whole",
            "learning_rate": "number",
            "momentum": "number",
            "weight_decay": "number",
            "batch_sizes": "ints",  # (S, K)
            "x": "floats",  # the rows of step 0's client 0, then client 1, ..., then step 1's
            "y": "ints",
            "eval_x": "floats",
        },
        {"steps": "steps", "logits": "floats"},
    ),
    "fls": Op(
        "samplers",
        "b_k = max(1, round(B / K)), half to even, until a client is empty",
        {"sizes": "ints", "batch_size": "whole"},
        {"batch_sizes": "ints"},
    ),
    "fpls": Op(
        "samplers",
        "b_k = max(1, round(B n_k / N)), half to even, until a client is empty",
        {"sizes": "ints", "batch_size": "whole"},
        {"batch_sizes": "ints"},
    ),
    "ugs_replay": Op(
        "samplers",
        "the client ids, n_k of each, in the order of the permutation, cut into ⌈N / B⌉ batches",
        {"sizes": "ints", "batch_size": "whole", "remainder": "text", "permutation": "ints"},
        {"batch_sizes": "ints"},
    ),
    "lds_prior": Op(
        "samplers",
        "α_k = c Z n_k/N exp(δ z_k), Z = S (N - 1) / (N - S) - 1, z the population z-score of d",
        {
            "sizes": "ints",
            "pseudo_samples": "whole",
            "concentration": "number",
            "delta": "number",
            "delays": "floats",
        },
        {"alpha": "floats"},
    ),
    "lds_em": Op(
        "samplers",
        "γ_mk = π_k β_km / Σ_j π_j β_jm; π_k ∝ Σ_m S_m γ_mk + α_k, a fixed number of times",
        {
            "alpha": "floats",
            "class_counts": "ints",
            "label_counts": "floats",
            "start": "floats",
            "iterations": "whole",
        },
        {"mixing_weights": "floats"},
    ),
    "lds_replay": Op(
        "samplers",
        "the drawn client ids in turn; a draw of a client that has given all is passed over",
        {"sizes": "ints", "batch_size": "whole", "remainder": "text", "draws": "ints"},
        {"batch_sizes": "ints"},
    ),
    "batch_deviation": Op(
        "laws",
        "Δ_t = Σ_m |c_tm / B_t - p_m|",
        {"batch_class_counts": "ints", "class_probs": "floats"},
        {"deviation": "floats"},
    ),
    "batch_law": Op(
        "laws",
        "c_tm is a sum over clients of Hypergeometric(n_k, n_km, b_tk); E[Δ_t] given b_t",
        {"batch_sizes": "ints", "class_counts": "ints"},
        {"mean": "floats", "variance": "floats", "expected_deviation": "floats"},
    ),
    "uniform_deviation": Op(
        "laws",
        "E[Δ] of B samples drawn without replacement: c_m is Hypergeometric(N, N_m, B)",
        {"class_totals": "ints", "batch_size": "whole"},
        {"expected_deviation": "number"},
    ),
    "step_times": Op(
        "laws",
        "max over k with b_tk > 0 of (d_k + b_tk s_k), plus the server's time",
        {
            "batch_sizes": "ints",
            "delays": "floats",
            "sample_costs": "floats",
            "server_time": "number",
        },
        {"times": "floats"},
    ),
    "sample": Op(
        "random",
        "R schedules, each drawn anew, of the sampler ugs, lds, fls or fpls",
        {
            "sampler": "text",
            "class_counts": "ints",
            "batch_size": "whole",
            "remainder": "text",
            "delays": "floats",
            "delta": "number",
            "num_schedules": "whole",
            "seed": "whole",
        },
        {"schedules": "ints"},  # (R, T, K)
    ),
    "class_targets": Op(
        "random",
        "R times class counts c_tm of each step, drawn anew, and who brings them: Σ_k b_tkm = c_tm",
        {
            "draw": "text",
            "assign": "text",
            "class_counts": "ints",
            "batch_size": "whole",
            "remainder": "text",
            "delays": "floats",
            "num_schedules": "whole",
            "seed": "whole",
        },
        {"targets": "ints", "local_class_counts": "ints"},  # (R, T, M), (R, T, K, M)
    ),
    "local_batches": Op(
        "random",
        "each client hands out its own samples in the order of a shuffle, a new one each epoch",
        {"owners": "ints", "batch_sizes": "ints", "epochs": "whole", "seed": "whole"},
        {"samples": "ints"},  # (E, N): step by step, within a step client by client
    ),
    "local_class_batches": Op(
        "random",
        "the same where a step asks a client for so many samples of each class",
        {
            "owners": "ints",
            "labels": "ints",
            "local_class_counts": "ints",  # (S, K, M)
            "epochs": "whole",
            "seed": "whole",
        },
        {"samples": "ints"},  # as of local_batches
    ),
}
GROUPS = ("layers", "optimizer", "steps", "samplers", "laws")  # each a file of vectors
