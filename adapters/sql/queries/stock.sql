SELECT goods_id, sticks AS stock, version
FROM {schema}.inventory
WHERE goods_id = %(goods_id)s AND deleted_at IS NULL
