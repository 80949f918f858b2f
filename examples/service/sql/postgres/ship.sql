-- Marks an order as shipped.
-- $1 order id, $2 version of the event
update order_summaries
set
    is_shipped = true,
    order_version = $2
where order_id = $1
