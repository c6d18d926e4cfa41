-- Answers Envoy's question what the token filter is: asks for the keys in its place, and puts them into the filter.
--
-- discovery.py writes three values before this: KEYS, the path where the keys are asked for; BEFORE and AFTER, what
-- surrounds the keys in the answer, where they stand as text in a JSON string.

local function escaped(text)
  return (text:gsub('[%c"\\]', function(character)
    return string.format("\\u%04x", character:byte())
  end))
end

function envoy_on_request(handle)
  local length = handle:body(true):setBytes("")
  local headers = handle:headers() -- Until the body is there the script rests, and headers taken before are gone.
  headers:replace("content-length", length)
  headers:remove("content-type")
  headers:replace(":method", "GET")
  headers:replace(":path", KEYS)
end

function envoy_on_response(handle)
  if handle:headers():get(":status") ~= "200" then
    return
  end
  local body = handle:body(true)
  local length = body:setBytes(BEFORE .. escaped(body:getBytes(0, body:length())) .. AFTER)
  handle:headers():replace("content-length", length)
end
