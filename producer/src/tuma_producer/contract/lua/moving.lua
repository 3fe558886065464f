-- How it stands with the provider while that is asked for a verb.
local MOVING = {pause = 'pausing', resume = 'resuming', cancel = 'cancelling'}
