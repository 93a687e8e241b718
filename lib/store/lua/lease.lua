-- lease.lua - take, renew or release a feed's lease, the string "<fence> <holder>".
--
-- Fences grow with the server's clock, so that a store that was flushed or restored from an old
-- copy does not give one out twice.
--
-- KEYS: lease, fence
-- ARGV: take, ttl ms, holder | renew, ttl ms, fence | release, 0, fence
-- Returns {OK, fence, holder}, {CONFLICT, fence, holder} or {FENCED}.

local held = redis.call('GET', KEYS[1])
local fence, holder
if held then
    fence, holder = string.match(held, '^(%d+) (.*)$')
end

if ARGV[1] == 'take' then
    if holder and holder ~= ARGV[3] then
        return { 'CONFLICT', fence, holder }
    end
    local now = redis.call('TIME')
    local next_fence = math.max(tonumber(now[1]) * 1000000 + tonumber(now[2]),
        tonumber(redis.call('GET', KEYS[2]) or '0') + 1)
    fence = string.format('%.0f', next_fence)
    redis.call('SET', KEYS[2], fence)
    redis.call('SET', KEYS[1], fence .. ' ' .. ARGV[3], 'PX', ARGV[2])
    return { 'OK', fence, ARGV[3] }
end
if fence ~= ARGV[3] then
    return { 'FENCED' }
end
if ARGV[1] == 'renew' then
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
else
    redis.call('DEL', KEYS[1])
end
return { 'OK', fence, holder }
