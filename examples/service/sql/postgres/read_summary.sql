-- Reads the summary of an order.
-- $1 order id
select customer, is_shipped, items, total_cents, order_version
from order_summaries
where order_id = $1
