"""MICC/Florence: GANFit's protocol, and the one that Deng et al. describe."""
