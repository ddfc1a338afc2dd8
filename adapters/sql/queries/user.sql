SELECT id AS user_id, email, nickname, gender, role, created_at, updated_at
FROM {schema}."user"
WHERE id = %(user_id)s AND deleted_at IS NULL
