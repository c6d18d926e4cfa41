-- Gives a refusal of the transcoder the violation that a service would give: the field at fault, in a BadRequest.
--
-- The transcoder says one text, `page_size: invalid value "x" for type TYPE_INT32`, and replies (replies.py) can show it
-- but not take it apart. Here it is, as JSON, in a reply whose keys are sorted: `message` is the last. Whatever looks
-- otherwise stays as it is. What is taken out of the text is escaped already.

local REASON = '"reason":"MALFORMED_REQUEST"}'
local VIOLATION = ',{"@type":"type.googleapis.com/google.rpc.BadRequest",'
  .. '"fieldViolations":[{"description":"%s","field":"%s","reason":""}]}'

-- An unknown name of a query, its unreserved characters as themselves, as the transcoder read them (RFC 3986, 6.2.2.2).
-- The rest stays encoded: it can be quotes or no UTF-8 at all, and is in no name that there is.
local function spelled(name)
  return (name:gsub("%%(%x%x)", function(digits)
    local character = string.char(tonumber(digits, 16))
    return character:match("[%w_.~-]")
  end))
end

-- The path of the field, as the contract spells it, and what is wrong with it; nothing where no field is named.
local function fault(message)
  local path, what = message:match("^([%a_][%w_%.%[%]]*): (.+)$")
  if path then
    return path, what
  end
  local unknown = message:match('^Could not find field \\"(.*)\\" in the type \\"[%w_%.]+\\"%.$')
  if unknown then
    return spelled(unknown), "is not a field of this request"
  end
  local scalar = message:match('^Encountered a non%-leaf field \\"(.*)\\" that is not a message while')
  if scalar then
    return scalar, "has no fields of its own"
  end
  -- The one name of a route of ours that refuses what path or body say already (rest.py).
  return message:match("^the query says what path or body do: ([%w_%.]+)$"), "is said by the path or the body already"
end

function envoy_on_response(handle)
  if handle:headers():get(":status") ~= "400" then
    return
  end
  local body = handle:body()
  if body == nil then
    return
  end
  local text = body:getBytes(0, body:length())
  local _, last = text:find(REASON, 1, true)
  local message = text:match('"message":"(.*)"}%s*$')
  if not last or not message then
    return
  end
  local path, what = fault(message)
  if not path then
    return
  end
  local length = body:setBytes(text:sub(1, last) .. VIOLATION:format(what, path) .. text:sub(last + 1))
  handle:headers():replace("content-length", length)
end
