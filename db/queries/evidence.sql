-- What a verdict rests on, down to the rows: `value` is the quantity, `beside` what it is held against.
-- $run = latest: the run
-- $claim: the claim's name in the spec
FROM evidence($run, $claim)
