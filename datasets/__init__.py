"""Pictures → packed uint8 arrays → batches."""
