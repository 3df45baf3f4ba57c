"""Selections streamed in bulk: Kafka, or parts over HTTP."""
