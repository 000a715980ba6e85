"""What a schedule must do: the law of a batch, derived (docs/method.md, section 4)."""
