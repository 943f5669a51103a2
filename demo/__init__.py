"""The demo: a made-up Litmos organisation, synced twice, and how compliant it is."""
