-- Adds an item to the summary of its order. A second time would be seen in the sums.
-- $1 order id, $2 price of the item in cents, $3 version of the event
update order_summaries
set
    items = items + 1,
    total_cents = total_cents + $2,
    order_version = $3
where order_id = $1
