-- Which specs are in the file since when, and which of them cannot confirm, because results were there first.
SELECT spec_name, target, registered_at, json_array_length(claims) AS claims, seen, origin, spec_hash
FROM registrations
ORDER BY registered_at, spec_name, target
