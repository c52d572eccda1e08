-- what:       the rest of the chart of accounts, and every kind of entry of the books
-- called by:  migration 0004_whole_chart; a test compares it with ledger/rules/chart.py and routes.py
-- parameters: none

INSERT INTO ledger_account_code
    (code, name, category, normal_side, materialised, exact, floor, memo, takes_customer, dimension, dimension_required)
VALUES
    ('2005', 'Paid credit units, their money', 'liability', -1, true, true, 0, false, true, 'units', true),
    ('2015', 'Goodwill credit units, their money', 'liability', -1, true, true, 0, false, true, 'units', true),
    ('2020', 'Promotional credits, expensed', 'liability', -1, true, true, 0, false, true, 'grant', true),
    ('2025', 'Promotional credit units, expensed', 'liability', -1, true, true, 0, false, true, 'units', true),
    ('9100', 'Credit units issued (memo)', 'memo', 1, false, true, NULL, true, false, '', false),
    ('9110', 'Credit units outstanding (memo)', 'memo', -1, true, true, 0, true, true, 'grant', true);

-- Nothing could be posted to it before: it takes the exact remainder of a credit.
UPDATE ledger_account_code SET exact = true WHERE code = '2500';

INSERT INTO ledger_event_type
    (code, label, template_version, allowed_debit, allowed_credit, draws_credit, needs_approval_over,
     returns_credit, adjusts, needs_approval)
VALUES
    ('usage.accrued', 'Usage accrued', 1, '{1110,4000}', '{4000,1110}', false, NULL, false, true, false),
    ('usage.overage', 'Overage accrued', 1, '{1110,4020}', '{4020,1110}', false, NULL, false, true, false),
    ('fee.recognised', 'Prepaid fee recognised', 1, '{2100}', '{4010}', false, NULL, false, true, false),
    ('invoice.finalized', 'Invoice finalised', 1, '{1100,1110,2000,2010,2020,2100,2110,2200,4900,6310,9010}', '{1110,2100,2110,2200,6310,9000}', true, NULL, false, false, false),
    ('topup.invoiced', 'Top-up invoiced', 1, '{1100}', '{2050,2200}', false, NULL, false, false, false),
    ('topup.voided', 'Unpaid top-up given up', 1, '{2050,2200}', '{1100}', false, NULL, false, false, false),
    ('credit_note.issued', 'Credit note issued', 1, '{4910,2100,2200,6310}', '{1100,2110,2300,6310}', false, NULL, false, true, false),
    ('plan.prorated', 'Unused time credited', 1, '{2100,2200,6310}', '{1100,2110,6310}', false, NULL, false, false, false),
    ('payment.succeeded', 'Payment succeeded', 1, '{1010}', '{1100,2110}', false, NULL, false, false, false),
    ('payment.fee', 'Processing fee', 1, '{6000,1010}', '{1010,6000}', false, NULL, false, false, false),
    ('payment.returned', 'Payment returned', 1, '{1100,2110,6000}', '{1010}', false, NULL, false, false, false),
    ('balance.applied', 'Customer balance applied', 1, '{2110}', '{1100}', false, NULL, false, false, false),
    ('fx.settled', 'Paid in another currency', 1, '{1010,3900}', '{3900,1100,2110}', false, NULL, false, false, false),
    ('fx.revalued', 'Currency position revalued', 1, '{3900,6300}', '{3900,6300}', false, NULL, false, true, false),
    ('payout.created', 'Payout created', 1, '{1020}', '{1010}', false, NULL, false, false, false),
    ('payout.paid', 'Payout paid', 1, '{1000}', '{1020}', false, NULL, false, false, false),
    ('payout.failed', 'Payout failed', 1, '{1010}', '{1020}', false, NULL, false, false, false),
    ('refund.requested', 'Refund requested', 1, '{4920,2100,2200,2110}', '{2300}', false, NULL, false, false, false),
    ('refund.succeeded', 'Refund succeeded', 1, '{2300}', '{1010}', false, NULL, false, false, false),
    ('refund.failed', 'Refund failed', 1, '{2300}', '{4920,2100,2200,2110}', false, NULL, false, false, false),
    ('refund.returned', 'Refund returned', 1, '{1010}', '{2300}', false, NULL, false, false, false),
    ('dispute.opened', 'Dispute opened', 1, '{1120,6010}', '{1010}', false, NULL, false, false, false),
    ('dispute.won', 'Dispute won', 1, '{1010}', '{1120,6010}', false, NULL, false, false, false),
    ('dispute.lost', 'Dispute lost', 1, '{4930,2100,2000,2005,9110,2200}', '{1120,9100}', false, NULL, false, false, false),
    ('debt.written_off', 'Debt written off', 1, '{6200,1190,2100,2200}', '{1100}', false, NULL, false, true, false),
    ('allowance.booked', 'Allowance booked', 1, '{6200,1190}', '{1190,6200}', false, NULL, false, true, false),
    ('debt.recovered', 'Written-off debt recovered', 1, '{1100}', '{6200,1190,2200}', false, NULL, false, true, false),
    ('tax.remitted', 'Tax remitted', 1, '{2200}', '{1000}', false, NULL, false, true, false),
    ('credit.granted', 'Credit granted', 1, '{4910,6100,9000,9100}', '{2010,2015,2020,2025,9010,9110}', false, NULL, false, false, false),
    ('credit.bought', 'Credit bought', 1, '{2050,9100}', '{2000,2005,9110}', false, NULL, false, false, false),
    ('credit.drawn', 'Credit drawn', 1, '{2000,2010,2020,9010,9110,2005,2015,2025,4900,1110}', '{4000,4020,9000,9100}', true, NULL, false, false, false),
    ('credit.covered', 'Credit covers accrued usage', 1, '{2000,2010,2020,9010,9110,2005,2015,2025,4900,4020}', '{1110,4020,9000,9100}', true, NULL, false, false, false),
    ('credit.returned', 'Credit given back', 1, '{4000,4020,4910,2100,9000,9100}', '{2000,2010,2020,9010,9110,2005,2015,2025,4900,1110}', false, NULL, true, false, false),
    ('credit.expired', 'Credit expired', 1, '{2000,2010,2020,9010,9110,2005,2015,2025}', '{4030,2500,4910,6100,9000,9100}', false, NULL, false, false, false),
    ('credit.voided', 'Credit voided', 1, '{2010,2015,2020,2025,9010,9110}', '{4910,6100,9000,9100}', false, NULL, false, false, false),
    ('credit.refunded', 'Unused credit refunded', 1, '{2000,2005,9110,2200,6310}', '{2300,6310,9100}', false, NULL, false, false, false),
    ('credit.transferred', 'Credit transferred', 1, '{2000,2010,2020,9010,9110,2005,2015,2025}', '{2000,2010,2020,9010,9110,2005,2015,2025}', false, NULL, false, false, true),
    ('credit.rolled_over', 'Credit rolled over', 1, '{2010,2015,2020,2025,9010,9110}', '{2010,2015,2020,2025,9010,9110}', false, NULL, false, false, false),
    ('opening.balance', 'Opening balance', 1, '{3000,9000,9100,1000,1010,1020,1100,1110,1120}', '{3000,9010,9110,1190,2000,2005,2010,2015,2020,2025,2050,2100,2110,2200,2300,2500}', false, NULL, false, true, false),
    ('entry.reversed', 'Entry reversed', 1, '{}', '{}', false, NULL, false, true, false)
ON CONFLICT (code) DO UPDATE SET
    allowed_debit = excluded.allowed_debit, allowed_credit = excluded.allowed_credit,
    returns_credit = excluded.returns_credit, adjusts = excluded.adjusts, needs_approval = excluded.needs_approval;
