"""Parallel split learning with uniform global sampling on one page: NumPy and nothing else.

16 clients hold two kinds of digits each, more or less. They run the first half of a network on
their own images, a server runs the second half, and together they take one gradient step on one
global batch. Who brings how many samples to it, the server draws. Nobody ever sees the clients'
images, and yet each step is a step of ordinary training on the pooled batch.

    python tutorials/one_file.py
"""

from pathlib import Path

import numpy as np

CLIENTS, BATCH_SIZE, EPOCHS, LEARNING_RATE, HIDDEN, CLASSES = 16, 64, 5, 0.1, 32, 10
DIGITS = Path(__file__).parent.parent / "pslref" / "shipped" / "digits.npz"


def load():
    """8×8 images of digits with mean 0 and variance 1, and their labels; then those of the test."""
    with np.load(DIGITS) as arrays:
        x_train, x_test = arrays["x_train"], arrays["x_test"]
        mean, std = x_train.mean(axis=(0, 1, 2)), x_train.std(axis=(0, 1, 2))
        x_train, x_test = ((x - mean) / std for x in (x_train, x_test))
        return x_train, arrays["y_train"], x_test, arrays["y_test"]


def partition(y, rng):
    """Who holds which samples: sorted by class and cut into shards, of which each client gets two.

    (McMahan et al., 'Communication-efficient learning of deep networks from decentralized data',
    2017.)
    """
    shards = np.array_split(np.argsort(y, kind="stable"), 2 * CLIENTS)
    dealt = rng.permutation(2 * CLIENTS).reshape(CLIENTS, 2)
    return [np.concatenate([shards[i] for i in pair]) for pair in dealt]


def uniform_global_sampling(sizes, rng):
    """How many samples each client brings to each step: (steps, clients).

    A list that holds every client's number once for each of its samples is shuffled and cut into
    global batches. So a batch is like one drawn from all data together, though nobody holds them.
    """
    line = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    rng.shuffle(line)
    batches = np.split(line, range(BATCH_SIZE, len(line), BATCH_SIZE))
    return [np.bincount(batch, minlength=len(sizes)) for batch in batches]


def linear(rows, columns, rng):
    """Weights and biases of a layer y = x W + b."""
    return {"W": rng.normal(0, (2 / rows) ** 0.5, (rows, columns)), "b": np.zeros(columns)}


def client_forward(half, images):
    """The client half: Linear and ReLU. It ends at the cut; what comes out is the smashed data."""
    x = images.reshape(len(images), -1)
    return x, np.maximum(x @ half["W"] + half["b"], 0)


def client_backward(x, smashed, gradient_at_cut):
    """The client's gradient g_k, from its own rows of the gradient at the cut."""
    dy = gradient_at_cut * (smashed > 0)
    return {"W": x.T @ dy, "b": dy.sum(axis=0)}


def server_step(half, smashed, y):
    """The server half: logits, and the mean cross-entropy over the whole global batch.

    Its gradients: with respect to its own weights, and to the smashed data, row by row.
    """
    logits = smashed @ half["W"] + half["b"]
    z = logits - logits.max(axis=1, keepdims=True)
    exponentials = np.exp(z)
    sums = exponentials.sum(axis=1, keepdims=True)
    own = np.arange(len(y)), y
    loss = np.mean(np.log(sums[:, 0]) - z[own])
    dlogits = exponentials / sums
    dlogits[own] -= 1
    dlogits /= len(y)  # of the global batch, so that the clients' gradients are to be summed
    gradients = {"W": smashed.T @ dlogits, "b": dlogits.sum(axis=0)}
    return loss, gradients, dlogits @ half["W"].T


def train(x, y, held, client_half, server_half, schedule_rng, client_rngs):
    """Train both halves in place; the mean loss of every epoch."""
    losses = []
    for _ in range(EPOCHS):
        # Every client shuffles its own samples, and hands them out in this order.
        left = [own[r.permutation(len(own))] for own, r in zip(held, client_rngs, strict=True)]
        epoch = []
        for counts in uniform_global_sampling([len(own) for own in held], schedule_rng):
            # 1. Each participant takes its next samples and sends the smashed data with labels.
            participants = np.flatnonzero(counts)
            batches = {k: left[k][: counts[k]] for k in participants}
            left = [own[b:] for own, b in zip(left, counts, strict=True)]
            sent = {k: client_forward(client_half, x[batches[k]]) for k in participants}
            labels = np.concatenate([y[batches[k]] for k in participants])

            # 2. The server runs its half on all of them, and returns the gradients at the cut.
            smashed = np.concatenate([sent[k][1] for k in participants])
            loss, server_gradients, at_cut = server_step(server_half, smashed, labels)
            answers = np.split(at_cut, np.cumsum(counts[participants])[:-1])

            # 3. Each participant backpropagates. 4. Its gradients are summed, not averaged, and
            # all clients take the same step: one array is everybody's half here.
            own = [client_backward(*sent[k], g) for k, g in zip(participants, answers, strict=True)]
            total = {name: sum(gradients[name] for gradients in own) for name in client_half}
            for half, gradients in ((client_half, total), (server_half, server_gradients)):
                for name in half:
                    half[name] -= LEARNING_RATE * gradients[name]
            epoch.append(loss)
        losses.append(float(np.mean(epoch)))
    return losses


def accuracy(x, y, client_half, server_half):
    """The share of images whose largest logit is at their label."""
    _, smashed = client_forward(client_half, x)
    logits = smashed @ server_half["W"] + server_half["b"]
    return float(np.mean(logits.argmax(axis=1) == y))


def main(seed=0):
    """Load, deal out, train; the losses, the accuracy on the test images, and both halves."""
    rng = np.random.default_rng(seed)
    x_train, y_train, x_test, y_test = load()
    held = partition(y_train, rng)
    client_half, server_half = linear(64, HIDDEN, rng), linear(HIDDEN, CLASSES, rng)
    losses = train(x_train, y_train, held, client_half, server_half, rng, rng.spawn(CLIENTS))
    return losses, accuracy(x_test, y_test, client_half, server_half), client_half, server_half


if __name__ == "__main__":
    losses, right, _, _ = main()
    print("mean loss of each epoch:", *(f"{loss:.3f}" for loss in losses))
    print(f"accuracy on the test images: {right:.3f}")
