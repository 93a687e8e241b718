-- deny.lua - the sessions that are not let in any more, until their tokens end of themselves.
--
-- KEYS: deny
-- ARGV: add, key, until (s), most keys | list, most keys
-- Returns {OK}, {FULL}, or {OK, {key, until}...}.

local now = redis.call('TIME')[1]

if ARGV[1] == 'list' then
    local out = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. now, '+inf', 'WITHSCORES',
        'LIMIT', 0, ARGV[2])
    table.insert(out, 1, 'OK')
    return out
end
if tonumber(ARGV[3]) <= tonumber(now) then
    return { 'OK' }
end
if not redis.call('ZSCORE', KEYS[1], ARGV[2]) and
    redis.call('ZCOUNT', KEYS[1], '(' .. now, '+inf') >= tonumber(ARGV[4]) then
    return { 'FULL' }
end
-- First what needs memory: Redis refuses it only while the script has written nothing.
redis.call('ZADD', KEYS[1], 'GT', ARGV[3], ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('EXPIREAT', KEYS[1], redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2])
return { 'OK' }
