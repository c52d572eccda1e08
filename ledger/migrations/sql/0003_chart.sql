-- what:       the first book, common currencies, the chart of accounts and the kinds of entry
-- called by:  migration 0003_chart; a test compares it with ledger/rules/chart.py and routes.py
-- parameters: none

INSERT INTO ledger_book (key, legal_entity, functional_currency, timezone, invoice_series)
VALUES ('main', 'Main legal entity', 'USD', 'UTC', 'INV');

INSERT INTO ledger_unit (code, kind, posting_scale) VALUES
    ('USD', 'fiat', 2),
    ('EUR', 'fiat', 2),
    ('GBP', 'fiat', 2),
    ('CHF', 'fiat', 2),
    ('JPY', 'fiat', 0),
    ('CAD', 'fiat', 2),
    ('AUD', 'fiat', 2),
    ('NZD', 'fiat', 2),
    ('SEK', 'fiat', 2),
    ('NOK', 'fiat', 2),
    ('DKK', 'fiat', 2),
    ('PLN', 'fiat', 2),
    ('CZK', 'fiat', 2),
    ('HUF', 'fiat', 2),
    ('SGD', 'fiat', 2),
    ('HKD', 'fiat', 2),
    ('INR', 'fiat', 2),
    ('KRW', 'fiat', 0),
    ('BRL', 'fiat', 2),
    ('MXN', 'fiat', 2),
    ('ZAR', 'fiat', 2),
    ('ILS', 'fiat', 2),
    ('AED', 'fiat', 2),
    ('KWD', 'fiat', 3);

INSERT INTO ledger_account_code
    (code, name, category, normal_side, materialised, exact, floor, memo, takes_customer, dimension, dimension_required)
VALUES
    ('1000', 'Bank', 'asset', 1, false, false, NULL, false, false, '', false),
    ('1010', 'Stripe balance (clearing)', 'asset', 1, false, false, NULL, false, false, '', false),
    ('1020', 'Payouts in transit', 'asset', 1, false, false, NULL, false, false, '', false),
    ('1100', 'Receivable, invoiced', 'asset', 1, true, false, NULL, false, true, '', false),
    ('1110', 'Unbilled usage', 'asset', 1, true, true, NULL, false, true, '', false),
    ('1120', 'Disputed funds', 'asset', 1, false, false, NULL, false, false, 'dispute', true),
    ('1190', 'Allowance for doubtful accounts', 'asset', -1, false, false, NULL, false, false, '', false),
    ('2000', 'Paid credits', 'liability', -1, true, true, 0, false, true, 'grant', true),
    ('2010', 'Goodwill and SLA credits', 'liability', -1, true, true, 0, false, true, 'grant', true),
    ('2050', 'Top-ups invoiced, unpaid', 'liability', -1, false, true, NULL, false, true, '', false),
    ('2100', 'Deferred revenue', 'liability', -1, true, true, 0, false, true, 'contract', false),
    ('2110', 'Customer balance', 'liability', -1, true, false, 0, false, true, '', false),
    ('2200', 'Tax payable', 'liability', -1, false, false, NULL, false, false, 'jurisdiction', true),
    ('2300', 'Refunds payable', 'liability', -1, false, false, NULL, false, false, '', false),
    ('2500', 'Unclaimed property', 'liability', -1, false, false, NULL, false, false, '', false),
    ('3000', 'Opening balances', 'equity', -1, false, true, NULL, false, false, '', false),
    ('3900', 'FX and credit-unit position', 'equity', -1, false, true, NULL, false, false, '', false),
    ('4000', 'Usage revenue', 'revenue', -1, false, true, NULL, false, false, '', false),
    ('4010', 'Subscription revenue', 'revenue', -1, false, true, NULL, false, false, '', false),
    ('4020', 'Overage revenue', 'revenue', -1, false, true, NULL, false, false, '', false),
    ('4030', 'Breakage', 'revenue', -1, false, true, NULL, false, false, '', false),
    ('4900', 'Promotional credits used', 'contra_revenue', 1, false, true, NULL, false, false, '', false),
    ('4910', 'Credit notes and concessions', 'contra_revenue', 1, false, true, NULL, false, false, '', false),
    ('4920', 'Refunds (earned part)', 'contra_revenue', 1, false, true, NULL, false, false, '', false),
    ('4930', 'Chargebacks lost (earned part)', 'contra_revenue', 1, false, true, NULL, false, false, '', false),
    ('6000', 'Processing fees', 'expense', 1, false, false, NULL, false, false, '', false),
    ('6010', 'Dispute fees', 'expense', 1, false, false, NULL, false, false, '', false),
    ('6100', 'Promotion expense', 'expense', 1, false, true, NULL, false, false, '', false),
    ('6200', 'Bad debt', 'expense', 1, false, true, NULL, false, false, '', false),
    ('6300', 'FX gain and loss', 'expense', 1, false, true, NULL, false, false, '', false),
    ('6310', 'Rounding', 'expense', 1, false, true, NULL, false, false, '', false),
    ('9000', 'Promotional credit issued (memo)', 'memo', 1, false, true, NULL, true, false, '', false),
    ('9010', 'Promotional credit outstanding (memo)', 'memo', -1, true, true, 0, true, true, 'grant', true);

INSERT INTO ledger_event_type
    (code, label, template_version, allowed_debit, allowed_credit, draws_credit, needs_approval_over)
VALUES
    ('usage.accrued', 'Usage accrued', 1, '{1110,4000}', '{4000,1110}', false, NULL),
    ('fee.recognised', 'Prepaid fee recognised', 1, '{2100}', '{4010}', false, NULL),
    ('invoice.finalized', 'Invoice finalised', 1, '{1100,1110,2000,2010,2100,2110,2200,4900,6310,9010}', '{1110,2100,2110,2200,6310,9000}', true, NULL),
    ('payment.succeeded', 'Payment succeeded', 1, '{1010}', '{1100,2110}', false, NULL),
    ('payment.fee', 'Processing fee', 1, '{6000}', '{1010}', false, NULL),
    ('payment.returned', 'Payment returned', 1, '{1100,6000}', '{1010}', false, NULL),
    ('balance.applied', 'Customer balance applied', 1, '{2110}', '{1100}', false, NULL),
    ('credit.granted', 'Credit granted', 1, '{4910,9000}', '{2010,9010}', false, NULL),
    ('credit.voided', 'Credit voided', 1, '{2010,9010}', '{4910,9000}', false, NULL),
    ('credit.expired', 'Credit expired', 1, '{2000,2010,9010}', '{4030,4910,9000}', false, NULL),
    ('opening.balance', 'Opening balance', 1, '{3000,9000,1000,1010,1100,1110}', '{3000,9010,2000,2010,2100,2110}', false, NULL),
    ('entry.reversed', 'Entry reversed', 1, '{}', '{}', false, NULL);
