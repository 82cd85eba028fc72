"""What is kept on the disk of a network: a fitted one (`models`), and one in training (`checkpoints`)."""
