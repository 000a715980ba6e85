"""The flags of the test vectors: which mistake a case is about, and what it does."""

NOTES = {
    "absent": "Some client brings nothing to some step. It must still apply the update, or its "
    "half falls behind the others'.",
    "biased-variance": "The variance is the mean of the squares, not the sum over n - 1.",
    "cap": "A client is drawn more often than it has samples left; what is cut off is drawn again.",
    "class-without-holder": "Labels of a class that none of the clients holds are dropped; kept, "
    "they divide 0 by 0.",
    "cross-correlation": "The kernel is not flipped.",
    "delays": "The prior leans towards slow clients (+), by z-scores with the population std.",
    "drift": "Several steps: halves that get different updates drift apart.",
    "empty-client": "A client without samples counts in K and brings nothing.",
    "empty-step": "A step to which nobody brings a sample has no mean loss: it must be refused.",
    "eps": "eps is added to the variance, under the root; its size matters here.",
    "equal-delays": "Delays that are all equal have no z-scores; they change nothing.",
    "groups": "A group is a run of neighbouring channels with all their pixels, in one sample.",
    "half-to-even": "Exact halves are rounded to the even neighbour.",
    "kink": "relu'(0) is 0 here; 1 and 1/2 are other conventions.",
    "label-outside": "A label that no logit belongs to must be refused.",
    "last-batch": "The last batch is smaller; dropping it loses samples in every epoch.",
    "left-over-pixels": "Windows that do not fit at the edge are left out.",
    "lone-number": "A group of one number is 0 after normalization; its gradient is 0.",
    "mean-loss": "The loss is the mean over the batch, and its gradient carries the 1/N.",
    "momentum": "The velocity lasts over steps. A new optimizer in every step loses it; one that "
    "misses a step gets out of step.",
    "no-client-weights": "The client half has no parameters: nothing to sum, nothing to update.",
    "overflow": "The exponentials overflow unless the largest logit is subtracted first.",
    "overlap": "A pixel in several windows gets the sum of their gradients.",
    "padding": "Zeros on every side; windows that stick out at the far edge are left out.",
    "remainder": "B does not divide N: one short last batch, or nearly equal batches.",
    "sum-over-batch": "Gradients of parameters are sums over the batch, not means.",
    "summed": "The loss is a mean over the global batch already, so client gradients are summed. "
    "Averaged, the client half learns at 1/K of the intended rate.",
    "tie": "The first of the largest takes the gradient here; an equal share for each is another "
    "convention.",
    "too-large": "A batch of more samples than there are must be refused.",
    "unequal-batches": "The local batches differ: a mean of the clients' means is another loss.",
    "weight-decay": "Weight decay acts on both halves, is added to the gradient, and so enters "
    "the velocity.",
}
