"""A pretend Tevalis: the cloud API for online orders and the point of sale behind it.

Sources, all below https://api.tevalis.com/Help/: ``Api/POST-vversion-OnlineOrders-CalculateOnlineOrder``,
``Api/POST-vversion-OnlineOrders-SubmitCalculatedOnlineOrder``, ``Api/POST-vversion-OnlineOrders-CancelOnlineOrder``, and
``ResourceModel?modelName=<Model>`` of each model they name. The headers stand in no page: they are those of
https://github.com/White-Streak-Technologies/tevalis-go.

Assumed, because no page that was seen says it. What can be set is a field of ``Site``:

==================================  ==================================================================================
``version``                         "2"; any other is 404
a header missing or wrong           401; ``GUID2`` is asked of every POST; ``Content-Type`` of every request, else 415
a request the models forbid         400 with ``Message`` and ``ModelState``, whose one key is ``model.`` and the path
case of names and of paths          exact
numbers                             money has at most 2 decimals; ``Quantity`` and ``TableNumber`` are at least 1,
                                    ``Covers`` and prices at least 0, a tender's ``Amount`` at least 0.01
a boolean                           may be left out, which means false, but is never null
an unknown site, price group,       400
table, PLU, option or tender type
an order without items and macros   400
``ItemNotes`` of an item            any objects; the strings in each, joined, are the answer's string
``MacroItems``                      named as in the answer; the parent has the price of the deal, its children cost
                                    what their modifiers and override prices cost
``ConfigurableDiscounts`` and       ``DiscountID`` or ``PromotionID``, and ``AffectedItemRefs``, named as in the answer
``ManualPromotions``
an option that is taken away        costs nothing and gives nothing back
``ExpGross``                        of a line or an option: all of its quantity, with the options below it;
                                    of a promotion or discount: negative, settable
automatic service charge            10 % of what is ordered at a table, after promotions and discounts
``TotalGross``                      of this order alone, merged or not; with the service charge, without tip and delivery
``SalesArea`` in the answer         missing, as on the page of CancelOnlineOrder; settable
the answer to submit                that of calculate with the same UID; settable
prices that change before submit    the calculated ones count; settable
a UID that is submitted again       makes another order: nothing is compared
a tender                            names one tender type; if by both ID and PLU, the same one
more tendered than is due           leaves the order open, as less does
merging without ``TableNumber``     400
merging, no bill or several open    a new bill; 400
a cancelled order                   is not due and its tenders are void; cancelled again it is answered again, settable
a calculated UID to cancel          404, if nothing was submitted under it
``GetCatalogues``                   its fields are made up
==================================  ==================================================================================
"""

from ordernpay.simulator.tevalis.bills import Act, Bill, Order
from ordernpay.simulator.tevalis.catalogue import (
    CATALOGUE,
    Catalogue,
    Discount,
    Option,
    OptionGroup,
    Product,
    Promotion,
    TenderType,
)
from ordernpay.simulator.tevalis.pricing import Calculation
from ordernpay.simulator.tevalis.simulator import TevalisSimulator
from ordernpay.simulator.tevalis.site import Credentials, NotFoundError, Site, SubmitAnswer

__all__ = [
    "CATALOGUE",
    "Act",
    "Bill",
    "Calculation",
    "Catalogue",
    "Credentials",
    "Discount",
    "NotFoundError",
    "Option",
    "OptionGroup",
    "Order",
    "Product",
    "Promotion",
    "Site",
    "SubmitAnswer",
    "TenderType",
    "TevalisSimulator",
]
