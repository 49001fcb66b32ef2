-- Updates of waves that were created before updates recorded what their compatibility is based on: the policies of their
-- campaign check the device once, before it is offered a retry. Other updates without a record may have been forced, and
-- stay as they are.

UPDATE updates SET compatibility = '{"policies":"campaign","accepted":null}'
WHERE compatibility IS NULL AND purpose = 'forward' AND completed_at IS NULL;
