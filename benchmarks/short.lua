-- A connection for every call: the cost of conversations rather than of messages.
local count = 0
local head = {["Host"] = "a", ["Connection"] = "close"}
request = function()
  count = count + 1
  return wrk.format("DELETE", "/session/" .. count, head)
end
