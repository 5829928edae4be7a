"""The cloud: API, storage, ingest and the live event stream."""
