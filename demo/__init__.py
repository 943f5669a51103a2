"""The demo: a made-up Litmos organisation, synced twice and asked three questions."""
