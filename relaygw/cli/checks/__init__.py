"""What `relaygw check` looks at, a module for each kind of thing; every check yields Findings and changes nothing."""
