-- The HTTP/1 mix: 45 % GET, 20 % GET gzip and chunked, 30 % POST and PUT, 204, 404, 304, HEAD, 1 MB bodies.
math.randomseed(7)
local count = 0
local small = '{"customer":{"id":4711,"mail":"someone@example.com"},"note":"' .. string.rep("please ring ", 34) .. '"}'
local large = '{"document":"' .. string.rep("lorem ipsum ", 316) .. '"}'
local function with(more)
  local all = {
    ["Host"] = "api.example.com", ["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64) wrk", ["Accept"] = "application/json",
    ["Authorization"] = "Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0",
    ["Traceparent"] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
  for name, value in pairs(more) do all[name] = value end
  return all
end
local plain, packed = with({}), with({["Accept-Encoding"] = "gzip, deflate"})
local posted = with({["Content-Type"] = "application/json"})
local fresh = with({["If-Modified-Since"] = "Fri, 01 Jan 2100 00:00:00 GMT"})
request = function()
  count = count + 1
  local dice = math.random(2000)
  if dice <= 900 then
    return wrk.format("GET", "/catalog/" .. math.random(0, 199) .. ".json?q=" .. count .. "&page=" .. math.random(50), plain)
  elseif dice <= 1300 then return wrk.format("GET", "/report/" .. math.random(0, 199) .. ".json?q=" .. count, packed)
  elseif dice <= 1800 then return wrk.format("POST", "/orders/" .. count, posted, small)
  elseif dice <= 1900 then return wrk.format("PUT", "/orders/" .. count, posted, large)
  elseif dice <= 1933 then return wrk.format("DELETE", "/session/" .. count, plain)
  elseif dice <= 1966 then return wrk.format("GET", "/missing/" .. count, plain)
  elseif dice <= 1999 then return wrk.format("GET", "/catalog/" .. math.random(0, 199) .. ".json", fresh)
  end
  if math.random(2) == 1 then return wrk.format("GET", "/export/" .. math.random(0, 2) .. ".json", plain) end
  return wrk.format("HEAD", "/export/0.json", plain)
end
