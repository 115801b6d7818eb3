-- Each connection waits before its next request, so that the load is what is asked for, and not all that can be had. And no two
-- requests are the same.
local pause_ms = tonumber(os.getenv("SOAK_DELAY_MS"))
local number = 0

function init(arguments)
    math.randomseed(os.time())
    number = math.random(1, 1000000000)
end

function delay()
    return pause_ms
end

function request()
    number = number + 1
    return wrk.format(nil, wrk.path .. "?number=" .. number)
end
