-- control.lua - a word to every gateway: an entry of the log that no lane has.
--
-- KEYS: meta, log
-- ARGV: epoch, payload, log's maximum
-- Returns {OK, id} or, with nothing written, {EPOCH}.

local meta = redis.call('HMGET', KEYS[1], 'epoch', 'last')
if meta[1] ~= ARGV[1] or redis.call('EXISTS', KEYS[2]) == 0 then
    return { 'EPOCH' }
end
local id = redis.call('XADD', KEYS[2], '*', 'c', '', 'p', ARGV[2], 'b', meta[2])
trim(KEYS[2], tonumber(ARGV[3]))
redis.call('HSET', KEYS[1], 'last', id)
return { 'OK', id }
