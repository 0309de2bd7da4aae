"""Is it safe?  Everything about running code that cannot be trusted: see the table in `classroom`."""
