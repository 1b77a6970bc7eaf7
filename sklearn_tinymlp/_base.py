"""`BaseTinyMLP`: what both estimators tell scikit-learn, notebooks and other threads."""

from ._displays import html


class BaseTinyMLP:
    """Tags, the page in the documentation, the block in a notebook, a copy that stays as it is."""

    _doc_link_module = "sklearn_tinymlp"
    _doc_link_template = html.DOCUMENTATION

    def __sklearn_tags__(self):
        """Accept sparse inputs and several outputs."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.multi_output = True
        return tags

    def _get_params_html(self, *args, **kwargs):
        """Show what was trained below the parameters, wherever a block of scikit-learn shows those.

        That is alone, and as a step of a pipeline or of what a search has found.
        """
        params = super()._get_params_html(*args, **kwargs)
        trained = self._trained_html()
        if trained:
            block = params._html_repr() + trained
            params._html_repr = lambda: block
        return params

    def _as_it_is(self):
        """Copy the attributes in one step: another thread's `fit` may be about to change them."""
        copy = object.__new__(type(self))
        copy.__dict__ = vars(self).copy()
        return copy
