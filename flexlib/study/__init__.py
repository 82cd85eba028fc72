"""What the study's chapters compute: each chapter's tables, numbers and sentences, in a module of its own."""
