"""Singer tap for the date-range endpoints of the Litmos learning management system."""
