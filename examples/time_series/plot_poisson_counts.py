"""
Poisson regression of yearly counts
===================================

Yearly disasters in British coal mines: small counts, whose variance equals their mean. The Poisson
loss accounts for this, and its exponential output keeps rates positive.

Data: explosions with ten or more deaths, 1851 to 1962, from R. Jarrett, "A note on the intervals
between coal-mining disasters", Biometrika 66 (1979) 191-193.
"""

import matplotlib.pyplot as plt
import numpy as np

from sklearn_tinymlp import TinyMLPRegressor

table = """
    4 5 4 1 0 4 3 4 0 6 3 3 4 0 2 6 3 3 5 4 5 3 1 4 4 1 5 5 3 4 2 5 2 2 3 4 2 1
    3 2 2 1 1 1 1 3 0 0 1 0 1 1 0 0 3 1 0 3 2 2 0 1 1 1 0 1 0 1 0 0 0 2 1 0 0 0
    1 1 0 2 3 3 1 1 2 1 1 1 1 2 3 3 0 0 0 1 4 0 0 0 1 0 0 0 0 0 1 0 0 1 0 1
"""
disasters = np.array(table.split(), dtype=float)
year = 1851.0 + np.arange(len(disasters))
print(f"{disasters.sum():.0f} disasters in {len(year)} years")

# %%
# Two fixed penalties; the default, `alpha="auto"`, estimates one by the evidence. `standardize`
# centres the years.

figure, ax = plt.subplots(figsize=(5.5, 3.4), layout="constrained")
ax.bar(year, disasters, color="0.8", label="counted")
for alpha, style in ((1.0, "-"), (0.01, "--")):
    net = TinyMLPRegressor(
        loss="poisson",
        hidden_layer_sizes=(10,),
        solver="lbfgs",
        standardize=True,
        alpha=alpha,
        max_iter=2000,
        random_state=0,
    )
    net.fit(year[:, np.newaxis], disasters)
    rate = net.predict(year[:, np.newaxis])
    print(f"alpha {alpha:g}: the rates sum to {rate.sum():.0f}, {net.stop_reason_}")
    ax.plot(year, rate, style, color="#1f4e79", label=f"rate, alpha={alpha:g}")
ax.set(xlabel="year", ylabel="disasters")
ax.legend()
plt.show()
